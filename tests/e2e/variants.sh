#!/bin/sh
# Versions of a package for tests of updates: one good, and several bad in their own way.
#
# Usage: tests/e2e/variants.sh PACKAGE.deb FOLDER
set -eu
folder=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"
dpkg-deb -R "$1" "$work/tree"
program=$work/tree/opt/appliance/site-packages/appliance
version=$(sed -n 's/^Version: //p' "$work/tree/DEBIAN/control")
base=${version%%~*}
pack() { # suffix: written uncompressed, these are read once
    sed -i "s/^Version: .*/Version: $base$1~${version#*~}/" "$work/tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$work/tree" "$folder/appliance_$base$1.deb" >/dev/null
    # Beside it the card's package, of which an update knows no more than name and version.
    mkdir -p "$work/card/DEBIAN"
    printf 'Package: appliance-card\nVersion: %s\nArchitecture: all\nDepends: appliance\nMaintainer: tests <tests@example.org>\nDescription: stands for the card\n' \
        "$base$1" >"$work/card/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$work/card" "$folder/appliance-card_$base$1.deb" >/dev/null
}
change() { # file, python lines put at its end
    cp "$program/$1" "$work/kept"
    printf '\n%s\n' "$2" >>"$program/$1"
    mv "$program/$(dirname "$1")/__pycache__" "$work/pycache" 2>/dev/null || true
}
restore() {
    cp "$work/kept" "$program/$1"
    mv "$work/pycache" "$program/$(dirname "$1")/__pycache__" 2>/dev/null || true
}
pack ""
sed -i "s/^__version__ = .*/__version__ = \"$base+1\"/" "$program/__init__.py"
rm -f "$program"/__pycache__/__init__.*
pack +1
change daemon/lifecycle.py 'raise SystemExit(70)  # a version that does not start'
pack +2
restore daemon/lifecycle.py
change sources/pictures/scene.py '
def _nothing(*_words: object) -> None:
    from appliance.errors import SourceUnavailableError
    raise SourceUnavailableError("a version that sees nothing")
Scene.__init__ = _nothing'
pack +3
restore sources/pictures/scene.py
sed -i '1a [ "$1" = configure ] \&\& exit 1' "$work/tree/DEBIAN/postinst"
pack +4
