#!/bin/sh
# The flashable image: Debian trixie for arm64 with the appliance, for Raspberry Pi 3 and 4.
#
# Usage: deploy/image/debian.sh PACKAGES_FOLDER OUT_FOLDER [CACHE_FOLDER]
#
# PACKAGES_FOLDER has appliance_*_arm64.deb and appliance-card_*_all.deb.
#
# Makes OUT/appliance.img, OUT/appliance.img.zst, what a virtual machine starts it with (kernel, initrd,
# device tree) and OUT/appliance.rpi-imager-manifest. Needs what base.sh needs (75 where it is not there).
set -eu
here=$(dirname "$(realpath "$0")")
package=$(realpath "$1"/appliance_*_arm64.deb)
card=$(realpath "$1"/appliance-card_*_all.deb)
mkdir -p "$2"
out=$(realpath "$2")
cache=${3:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-image}
base=$(sh "$here/base.sh" "$cache")
sh "$here/tools.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
export QEMU_CPU=cortex-a72 DEBIAN_FRONTEND=noninteractive

step() { echo "[$(date +%T)] $*" >&2; }

step "unpack the base system"
mkdir "$root"
tar --numeric-owner --xattrs -C "$root" -xf "$base" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*'

step "install the appliance"
cp -R --no-preserve=mode,ownership "$here/overlay/." "$root/"
cp "$package" "$root/root/appliance.deb"
cp "$card" "$root/root/appliance-card.deb"
chroot "$root" dpkg -i --force-confold /root/appliance.deb /root/appliance-card.deb >"$work/dpkg.log" 2>&1 || {
    cat "$work/dpkg.log" >&2
    exit 1
}
# The way back from the first update.
version=$(dpkg-deb -f "$package" Version)
mkdir -p "$root/var/lib/appliance-update/packages"
mv "$root/root/appliance.deb" "$root/var/lib/appliance-update/packages/appliance_$version.deb"
rm "$root/root/appliance-card.deb"
chroot "$root" systemctl --quiet enable systemd-networkd.service appliance-seed.service \
    appliance-seed-done.service appliance-grow.service
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer

step "the module that reads the firmware's throttle flags"
kernel=$(basename "$root"/lib/modules/*)
CACHE=$cache sh "$here/../kernel/build.sh" "$kernel" "$root/lib/modules/$kernel/updates" "$here/../kernel/rpi_readings.c"
chroot "$root" depmod "$kernel"

step "leave nothing that belongs to one machine"
: >"$root/etc/machine-id"
rm -rf "$root"/etc/ssh/ssh_host_* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* \
    "$root"/var/lib/cloud "$root"/var/lib/dbus/machine-id "$root"/var/log/journal "$root"/tmp/* \
    "$root"/var/lib/systemd/random-seed "$root"/boot/initrd.img-*.old
mkdir -p "$root/var/lib/cloud" "$root/var/log"

step "fill the boot partition"
firmware=$root/boot/firmware
cp "$here"/boot/* "$firmware/"
cp "$root/etc/appliance/appliance.toml" "$firmware/appliance-example.toml"
sed -i 's|root=[^ ]*|root=PARTUUID=5eedcafe-02|; s|console=tty0|console=ttyS1,115200 console=tty0|' "$firmware/cmdline.txt"
mkdir -p "$root/var/lib/appliance-seed"
cp "$firmware/user-data" "$firmware/network-config" "$firmware/meta-data" "$root/var/lib/appliance-seed/"
touch "$root/etc/cloud/cloud-init.disabled"
cp "$firmware"/vmlinuz-* "$out/vmlinuz"
cp "$firmware"/initrd.img-* "$out/initrd.img"
cp "$firmware/bcm2837-rpi-3-b.dtb" "$firmware/cmdline.txt" "$firmware/config.txt" "$out/"

step "assemble"
used=$(du -sm --exclude=boot/firmware "$root" | cut -f1)
sed "s/@ROOT_MEBIBYTES@/$((used * 115 / 100 + 96))/" "$here/genimage.cfg" >"$work/genimage.cfg"
(cd "$work" && PATH="$PATH:/usr/sbin:/sbin" genimage --loglevel 1 --config genimage.cfg --rootpath "$root" \
    --tmppath "$work/tmp" --inputpath "$work" --outputpath "$work/done" >&2)
mv "$work/done/appliance.img" "$out/appliance.img"
zstd -q -f -T0 -9 "$out/appliance.img" -o "$out/appliance.img.zst"
"${PYTHON:-python3}" "$here/manifest.py" "$out/appliance.img" "$out/appliance.img.zst" \
    >"$out/appliance.rpi-imager-manifest"
step "$out/appliance.img: $(du -m "$out/appliance.img" | cut -f1) MB, packed $(du -m "$out/appliance.img.zst" | cut -f1) MB"
