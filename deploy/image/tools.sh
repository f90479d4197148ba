#!/bin/sh
# What building an arm64 image needs on this machine; 75 where it cannot be had.
set -eu
missing() {
    echo "not built: $1" >&2
    exit 75
}
[ "$(id -u)" = 0 ] || missing "not root"
needed() { for tool in "$@"; do command -v "$tool" >/dev/null || return 0; done; return 1; }
PATH="$PATH:/usr/sbin:/sbin"
if needed mmdebstrap arch-test genimage mcopy mkfs.vfat mke2fs qemu-aarch64-static zstd xz sfdisk apt-ftparchive; then
    apt-get -qq update >&2 && apt-get -qq install -y --no-install-recommends mmdebstrap arch-test genimage mtools \
        dosfstools e2fsprogs qemu-user-static zstd xz-utils fdisk apt-utils >/dev/null || missing "its tools cannot be installed"
fi
# The kernel calls the emulator for arm64 programs, also inside a root of theirs.
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] && [ "$(uname -m)" != aarch64 ]; then
    mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc ||
        missing "binfmt_misc cannot be mounted"
    /usr/lib/systemd/systemd-binfmt /usr/lib/binfmt.d/qemu-aarch64.conf || missing "binfmt_misc refuses qemu-aarch64"
fi
