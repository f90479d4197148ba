#!/bin/sh
# What emulated boards need on this machine; 75 where it cannot be had.
set -eu
if ! command -v qemu-system-aarch64 >/dev/null || ! command -v mcopy >/dev/null; then
    [ "$(id -u)" = 0 ] && apt-get -qq update >&2 &&
        apt-get -qq install -y --no-install-recommends qemu-system-arm ipxe-qemu mtools >/dev/null || {
        echo "not run: qemu-system-arm cannot be installed" >&2
        exit 75
    }
fi
