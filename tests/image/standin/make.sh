#!/bin/sh
# A stand-in for Raspberry Pi OS Lite: Debian's arm64 packages in the layout that pi-gen (branch arm64,
# 2026-06) gives an image, with its names, cloud-init's settings and a package source; beside it a
# folder with what such an image gets from its archive. What the real one has and this has not:
# scripts/check_base.sh tells it of the real file.
#
# Usage: tests/image/standin/make.sh OUT_FOLDER [CACHE_FOLDER]     writes OUT/base.img, OUT/packages/
set -eu
here=$(dirname "$(realpath "$0")")
top=$(realpath "$here/../../..")
mkdir -p "$1"
out=$(realpath "$1")
cache=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-image}
base=$(sh "$top/deploy/image/base.sh" --cached "$cache")
sh "$top/deploy/image/tools.sh"
kernel=$(basename "$(tar -tf "$base" | grep -m1 'lib/modules/[^/]*/$')")
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
export QEMU_CPU=cortex-a72 DEBIAN_FRONTEND=noninteractive
mkdir "$root"
tar --numeric-owner --xattrs -C "$root" -xf "$base" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*'

# What comes from an archive is not in the image, and lies in a folder. The compiler's system of
# deploy/kernel knows Debian's lists.
packages="mosquitto mosquitto-clients python3-libcamera libcamera-ipa"
lists=$cache/kernel-$kernel-$(dpkg --print-architecture)
[ -d "$lists" ] || CACHE=$cache sh "$top/deploy/kernel/build.sh" "$kernel" "$work/modules" "$top/deploy/kernel/rpi_readings.c"
mkdir -p "$out/packages"
# shellcheck disable=SC2086 # a list
if ! ls "$out"/packages/mosquitto_*.deb >/dev/null 2>&1; then
    rm -rf "$lists/tmp/packages"
    mkdir "$lists/tmp/packages"
    chroot "$lists" sh -c "cd /tmp/packages && apt-get -qq update &&
        apt-get -qq download $(printf '%s:arm64 ' $packages)" >&2
    cp "$lists"/tmp/packages/*.deb "$out/packages/"
fi
# shellcheck disable=SC2086
chroot "$root" dpkg --purge --force-depends $packages >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
stand_in() { # name, what it depends on
    mkdir -p "$work/$1/DEBIAN" "$work/$1/usr/share/doc/$1"
    printf 'Package: %s\nVersion: 1+standin\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDepends: %s\nDescription: stand-in\n' \
        "$1" "$2" >"$work/$1/DEBIAN/control"
    if [ "$1" = python3-picamera2 ]; then
        mkdir -p "$work/$1/usr/lib/python3/dist-packages"
        cp "$here/picamera2.py" "$work/$1/usr/lib/python3/dist-packages/picamera2.py"
    fi
    dpkg-deb --root-owner-group --build "$work/$1" "$out/packages/$1_1+standin_all.deb" >/dev/null
}
stand_in python3-picamera2 "python3-libcamera, libcamera-ipa"
stand_in hailo-all python3
stand_in libedgetpu1-std libc6
stand_in imx500-all python3-picamera2

# As pi-gen leaves it.
id=5eedc0de
cp -R --no-preserve=mode,ownership "$here/root/." "$root/"
sed -i "s/@ID@/$id/" "$root/etc/fstab"
rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*
printf 'Types: deb\nURIs: %s\nSuites: ./\nTrusted: yes\n' "${ARCHIVE:-http://10.0.2.2:8099}" \
    >"$root/etc/apt/sources.list.d/raspi.sources"
chroot "$root" systemctl --quiet enable systemd-networkd.service rpi-resize.service
echo uninitialized >"$root/etc/machine-id"
rm -rf "$root"/etc/ssh/ssh_host_* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/lib/cloud \
    "$root"/var/lib/dbus/machine-id
firmware=$root/boot/firmware
cp "$here"/boot/* "$firmware/"
cp "$root/etc/rpi-issue" "$firmware/issue.txt"
echo "console=serial0,115200 console=tty1 root=PARTUUID=$id-02 rootfstype=ext4 fsck.repair=yes rootwait resize" \
    >"$firmware/cmdline.txt"
cp "$firmware"/vmlinuz-* "$out/vmlinuz"
cp "$firmware"/initrd.img-* "$out/initrd.img"
cp "$firmware/bcm2837-rpi-3-b.dtb" "$firmware/cmdline.txt" "$out/"
used=$(du -sm --exclude=boot/firmware "$root" | cut -f1)
sed "s/@ROOT_MEBIBYTES@/$((used * 120 / 100 + 200))/; s/@ID@/$id/" "$here/genimage.cfg" >"$work/genimage.cfg"
(cd "$work" && PATH="$PATH:/usr/sbin:/sbin" genimage --loglevel 1 --config genimage.cfg --rootpath "$root" \
    --tmppath "$work/tmp" --inputpath "$work" --outputpath "$work/done" >/dev/null)
mv "$work/done/base.img" "$out/base.img"
echo "$out/base.img"
