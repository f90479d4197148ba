#!/bin/sh
# The image's base system: Debian trixie for arm64, as a tar, made once and cached.
#
# Usage: deploy/image/base.sh [--cached] [CACHE_FOLDER]      prints the path of the tar
#
# --cached: only where it is there already, else 75.
#
# Needs root, mmdebstrap and an arm64 emulator that the kernel calls (75 where they are not there).
# Takes about a quarter of an hour; what is in packages.txt or here names the tar, so a change makes it anew.
set -eu
here=$(dirname "$(realpath "$0")")
only_cached=
if [ "${1:-}" = --cached ]; then
    only_cached=1
    shift
fi
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-image}
key=$(cat "$here/packages.txt" "$here/base.sh" | sha256sum | cut -c1-12)
tar=$cache/base-$key.tar
if [ -f "$tar" ]; then
    echo "$tar"
    exit 0
fi
if [ -n "$only_cached" ]; then
    echo "not run: no base system in $cache; make image makes one, in a quarter of an hour" >&2
    exit 75
fi
sh "$here/tools.sh" || exit $?
mkdir -p "$cache"
include=$(sed 's/#.*//' "$here/packages.txt" | xargs | tr ' ' ,)
# qemu's default processor emulates pointer authentication, ten times slower.
export QEMU_CPU=cortex-a72 SOURCE_DATE_EPOCH=1767225600
# z50-raspi-firmware fills /boot/firmware when the kernel is configured, if that folder is there.
mmdebstrap --quiet --format=tar --mode=root --arch=arm64 --variant=minbase --components="main non-free-firmware" \
    --include="$include" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='mkdir -p "$1/boot/firmware"' \
    trixie "$tar.partial" >&2 || {
    rm -f "$tar.partial"
    echo "not built: mmdebstrap failed" >&2
    exit 75
}
mv "$tar.partial" "$tar"
echo "$tar"
