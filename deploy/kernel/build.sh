#!/bin/sh
# Kernel modules for Debian's arm64 kernel, built on this machine without emulation.
#
# Usage: deploy/kernel/build.sh KERNEL_RELEASE OUT_FOLDER SOURCE.c...
#
# KERNEL_RELEASE as in /lib/modules, e.g. 6.12.118+deb13-arm64. Compiler and headers live in a system
# of their own below CACHE (environment; default ~/.cache/appliance-image), made once for a kernel: a
# minute. 75 where it cannot be made.
set -eu
release=$1 out=$2
shift 2
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-image}
missing() {
    echo "not built: $1" >&2
    exit 75
}
[ "$(id -u)" = 0 ] || missing "not root"
command -v mmdebstrap >/dev/null || missing "mmdebstrap is not installed"
native=$(dpkg --print-architecture)
root=$cache/kernel-$release-$native
common=${release%-arm64}
if [ ! -d "$root" ]; then
    mkdir -p "$cache"
    rm -rf "$root.partial"
    # The headers' own packages want a compiler for arm64: they are unpacked, not installed.
    mmdebstrap --quiet --format=directory --mode=root --variant=apt --architectures="$native,arm64" \
        --include=make,gcc-14-aarch64-linux-gnu,pahole,libelf1t64,libssl3t64 \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --customize-hook='chroot "$1" sh -c "cd /tmp && apt-get -qq download linux-headers-'"$release"':arm64 \
            linux-headers-'"$common"'-common linux-kbuild-'"$common"' &&
            for one in *.deb; do dpkg-deb -x \$one /; done && rm *.deb"' \
        trixie "$root.partial" >&2 || {
        rm -rf "$root.partial"
        missing "no compiler and headers for $release"
    }
    mv "$root.partial" "$root"
fi
work=$(mktemp -d "$root/tmp/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
for source in "$@"; do
    cp "$source" "$work/"
    echo "obj-m += $(basename "$source" .c).o"
done >"$work/Makefile"
chroot "$root" make -s -C "/usr/src/linux-headers-$release" M="/tmp/${work##*/}" modules >&2
mkdir -p "$out"
for source in "$@"; do
    # Without debugging data: 12 KB instead of 340.
    chroot "$root" aarch64-linux-gnu-strip --strip-debug "/tmp/${work##*/}/$(basename "$source" .c).ko"
    cp "$work/$(basename "$source" .c).ko" "$out/"
done
