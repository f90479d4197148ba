#!/bin/sh
# The images and the boot kit, built by the README's commands and started on emulated boards.
#
# Usage: PYTHON=.venv/bin/python tests/image/run.sh [--all | --cuts N]
#
# Without a word: what CI runs, where the base system is cached already. --all makes it and starts every
# board. --cuts N pulls the plug N times in the first start of each way to Raspberry Pi OS.
set -eu
here=$(dirname "$(realpath "$0")")
top=$(realpath "$here/../..")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/appliance-image
cd "$top"
export PYTHONPATH="$top"
what=${1:-short}
cuts=${2:-2}
if [ "$what" = short ]; then base=$(sh deploy/image/base.sh --cached "$cache"); else base=$(sh deploy/image/base.sh "$cache"); fi
sh "$here/tools.sh"
sh scripts/install_prometheus.sh
kernel=$(basename "$(tar -tf "$base" | grep -m1 'lib/modules/[^/]*/$')")

rm -rf dist/image dist/raspios dist/standin
if [ "$what" != --cuts ]; then
    make image BASE=debian
    CACHE=$cache sh deploy/kernel/build.sh "$kernel" dist/image "$here/fake_firmware.c"
    "$PYTHON" -m tests.image.parity dist/arm64/appliance_*.deb "$base"
    if [ "$what" = --all ]; then boards="virt raspi3b read-only"; else boards=virt; fi
    # shellcheck disable=SC2086 # a list
    "$PYTHON" -m tests.image.boot dist/image $boards
fi

# Raspberry Pi OS, as far as a stand-in goes.
sh "$here/standin/make.sh" dist/standin "$cache"
(cd dist/standin/packages && apt-ftparchive packages . >Packages) # the archive that the kit's board asks
sh scripts/check_base.sh dist/standin/base.img
PACKAGES=dist/standin/packages ACCELERATORS=coral,hailo,imx500 make image BASE=dist/standin/base.img
for one in libedgetpu1-std hailo-all imx500-all; do
    grep -q "pkg:deb/debian/$one@" dist/raspios/appliance-raspios.cdx.json || {
        echo "FAILED: $one is not in the image" >&2
        exit 1
    }
done
make boot-kit
case $what in
--cuts)
    "$PYTHON" -m tests.image.raspios image dist/standin --cuts "$cuts"
    "$PYTHON" -m tests.image.raspios kit dist/standin --cuts "$cuts"
    ;;
*)
    "$PYTHON" -m tests.image.raspios image dist/standin --cuts 1
    "$PYTHON" -m tests.image.raspios kit dist/standin --cuts 1
    ;;
esac
