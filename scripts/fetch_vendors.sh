#!/bin/sh
# The vendors' own code, for the tests that run it (docs/accelerators.md, docs/sources.md): pinned,
# checked by hash, into .vendors. Nothing of it is installed or shipped. 75 where one cannot be had;
# its tests then skip.
#
# Usage: PYTHON=.venv/bin/python scripts/fetch_vendors.sh [rknn|pybind11-2.10|pybind11-2.13|picamera2 ...]
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
missing=""

fetch() { # name, words for pip
    name=$1
    list=requirements/vendors/$name.txt
    shift
    cmp -s "$list" ".vendors/$name/fetched.txt" && return
    rm -rf ".vendors/$name" ".vendors/$name.partial"
    if "$python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --only-binary=:all: \
        --require-hashes -r "$list" --target ".vendors/$name.partial" --implementation cp "$@"; then
        cp "$list" ".vendors/$name.partial/fetched.txt"
        mv ".vendors/$name.partial" ".vendors/$name"
    else
        rm -rf ".vendors/$name.partial"
        missing="$missing $name"
    fi
}

compiler() {
    command -v g++ >/dev/null || { [ "$(id -u)" = 0 ] && apt-get -qq update >&2 &&
        apt-get -qq install -y --no-install-recommends g++ >/dev/null; } || missing="$missing g++"
}

for one in ${*:-rknn pybind11-2.10 pybind11-2.13 picamera2}; do
    case $one in
    rknn) fetch rknn --python-version 3.11 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 ;;
    # What HailoRT's binding is built with, up to 5.1.0 and since.
    pybind11-2.10 | pybind11-2.13) fetch "$one" && compiler ;;
    # For the Python of Debian trixie, in whose container it runs.
    picamera2) fetch picamera2 --python-version 3.13 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 ;;
    *) echo "no such vendor: $one" >&2 && exit 64 ;;
    esac
done
[ -z "$missing" ] || {
    echo "cannot be fetched:$missing" >&2
    exit 75
}
