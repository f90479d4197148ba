#!/bin/sh
# The image, built and started in an emulated board: in CI, where its base system is cached already.
#
# Usage: PYTHON=.venv/bin/python tests/image/run.sh [CACHE_FOLDER]
set -eu
here=$(dirname "$(realpath "$0")")
top=$(realpath "$here/../..")
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-image}
cd "$top"
base=$(sh deploy/image/base.sh --cached "$cache")
sh "$here/tools.sh"
rm -rf dist/arm64 dist/image
"$PYTHON" scripts/build_deb.py --arch arm64 --out dist/arm64
"$PYTHON" scripts/build_card_deb.py --out dist/arm64
sh deploy/image/build.sh dist/arm64 dist/image "$cache"
CACHE=$cache sh deploy/kernel/build.sh "$(basename "$(tar -tf "$base" | grep -m1 'lib/modules/[^/]*/$')")" dist/image tests/image/fake_firmware.c
PYTHONPATH=$top "$PYTHON" -m tests.image.parity dist/arm64/appliance_*.deb "$base"
PYTHONPATH=$top "$PYTHON" -m tests.image.boot dist/image virt raspi3b
