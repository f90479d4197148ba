#!/bin/sh
# A flashable image from an official Raspberry Pi OS Lite (64-bit): any Pi from 3 on, its own cameras.
#
# Usage: deploy/image/raspios.sh BASE.img[.xz] APPLIANCE_FOLDER OUT_FOLDER
#
# APPLIANCE_FOLDER has appliance_*_arm64.deb for the base's release, and appliance-card_*_all.deb; where
# they are missing they are built into it. In the environment:
#   PACKAGES=DIR       everything else comes from this folder of .deb files, nothing from the network;
#                      else from the base's own package sources
#   ACCELERATORS=LIST  of coral, hailo, imx500: their software, from the same place
#
# The base is never written. Beside it may lie what its publisher gives: BASE.sha256. Writes
# appliance-raspios.img, .img.zst, SHA256SUMS, SBOM (CycloneDX) and a manifest for Imager. Needs root
# and what tools.sh installs. 65: the base is none; 69: no room; 78: a wrong word; 75: not on this machine.
set -eu
here=$(dirname "$(realpath "$0")")
. "$here/layout.sh"
. "$here/../boot-kit/appliance-kit/software.sh"
fail() { # exit code, words
    code=$1
    shift
    echo "make image: $*" >&2
    exit "$code"
}
[ -f "${1:-}" ] || fail 2 "${1:-no BASE}: no such file; get Raspberry Pi OS Lite (64-bit) from https://www.raspberrypi.com/software/operating-systems/"
base=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
name=appliance-raspios
chosen=
for one in $(echo "${ACCELERATORS:-}" | tr , ' '); do
    chosen="$chosen $(software_of "$one")" ||
        fail 78 "ACCELERATORS: $one is none of coral, hailo, imx500 (what needs no package is always found)"
done
[ -z "${PACKAGES:-}" ] || ls "$PACKAGES"/*.deb >/dev/null 2>&1 || fail 78 "PACKAGES: $PACKAGES has no .deb files"
if [ -f "$base.sha256" ]; then
    given=$(grep -oE '^[0-9a-fA-F]{64}' "$base.sha256" | head -1)
    [ "$(sha256sum "$base" | cut -c1-64)" = "$given" ] ||
        fail 65 "$base: its SHA-256 is not the one in $base.sha256; download it again"
else
    echo "make image: $base.sha256 is not there: whether the file is its publisher's was not checked" >&2
fi

mkdir -p "$3"
out=$(realpath "$3")
work=$(mktemp -d "$out/.work.XXXXXX")
disk='' root=$work/root
clean() {
    for one in dev/pts dev proc sys boot/firmware mnt/packages ''; do
        if mountpoint -q "$root/$one" 2>/dev/null; then umount -l "$root/$one"; fi
    done
    [ -z "$disk" ] || losetup -d "$disk"
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
step() { echo "[$(date +%T)] $*" >&2; }
room() { # MiB
    free=$(df -m --output=avail "$out" | tail -1 | tr -d ' ')
    [ "$free" -ge "$1" ] || fail 69 "$out: $free MiB free, $1 are needed"
}

step "copy the base"
image=$work/image
case $base in
*.xz)
    unpacked=$(xz --robot --list "$base" 2>/dev/null | awk '$1 == "totals" {print $5}')
    [ -n "$unpacked" ] || fail 65 "$base: is no xz file, or a damaged one; download it again"
    room $((unpacked / 1048576 * 2 + 3000))
    xz -dc -T2 "$base" >"$image" 2>/dev/null || fail 65 "$base: is damaged; download it again"
    ;;
*)
    room $(($(stat -c %s "$base") / 1048576 * 2 + 3000))
    cp --sparse=always "$base" "$image"
    ;;
esac
open_layout "$image" 2>"$work/why" || fail 65 "$(sed "s|$image|$base|" "$work/why")"
sh "$here/../../scripts/check_base.sh" "$image" >"$work/checked" 2>&1 ||
    fail 65 "$base: cannot be built on:
$(grep MISSING "$work/checked")"
release=$(root_release)
build() { # script, its words
    script=$here/../../scripts/$1
    shift
    "${PYTHON:-python3}" "$script" "$@" --out "$folder" >&2
}
if ! ls "$folder"/appliance_*~"$release"_arm64.deb >/dev/null 2>&1; then
    step "build the appliance's package for $release"
    build build_deb.py --arch arm64 --release "$release" && build build_card_deb.py ||
        fail 69 "$folder: no appliance_*~${release}_arm64.deb, and it cannot be built here"
fi
package=$(ls "$folder"/appliance_*~"$release"_arm64.deb)
sh "$here/tools.sh"

step "grow its root by 2 GB"
truncate -s +2G "$image"
echo ", +" | sfdisk --quiet --no-reread -N 2 "$image" >/dev/null
disk=$(losetup --find --show -o "$root_start" "$image")
e2fsck -fp "$disk" >/dev/null || [ $? -le 2 ] || fail 65 "$base: its root file system is damaged"
resize2fs "$disk" >/dev/null 2>&1
mkdir "$root" "$work/boot"
mount "$disk" "$root"
mcopy -s -n -m -i "$image@@$boot_start" "::*" "$work/boot/"
cp -a "$work/boot" "$work/boot-before"

step "install the appliance ($release)"
export QEMU_CPU=cortex-a72 DEBIAN_FRONTEND=noninteractive
mount --bind "$work/boot" "$root/boot/firmware"
for one in dev dev/pts proc sys; do mount --bind "/$one" "$root/$one"; done
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # nothing is started here
chmod 755 "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/mnt/packages" "$work/packages"
cp "$package" "$folder"/appliance-card_*_all.deb "$work/packages/"
if [ -n "${PACKAGES:-}" ]; then cp "$PACKAGES"/*.deb "$work/packages/"; fi
(cd "$work/packages" && apt-ftparchive packages . >Packages)
mount --bind "$work/packages" "$root/mnt/packages"
echo "deb [trusted=yes] file:/mnt/packages ./" >"$work/packages.list"
cp "$work/packages.list" "$root/mnt/packages/packages.list"
if [ -n "${PACKAGES:-}" ]; then
    set -- -o Dir::Etc::sourcelist=/mnt/packages/packages.list -o Dir::Etc::sourceparts=-
else
    set --
    cp "$work/packages.list" "$root/etc/apt/sources.list.d/appliance-image.list"
    mv "$root/etc/resolv.conf" "$work/resolv.conf" 2>/dev/null || true
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
fi
# Raspberry Pi OS packs the drivers of the board it runs on; here that would be none.
whole=$root/etc/initramfs-tools/conf.d/appliance-image
[ ! -d "${whole%/*}" ] || echo MODULES=most >"$whole"
in_base() { chroot "$root" "$@" >>"$work/log" 2>&1; }
in_base apt-get "$@" -q update || fail 69 "the package sources cannot be read:
$(tail -5 "$work/log")"
# shellcheck disable=SC2086 # a list
in_base apt-get "$@" -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install \
    appliance appliance-card $needed $chosen ||
    fail 69 "the packages cannot be installed:
$(grep -E '^(E:|dpkg: error|.*(Unable|unmet|Depends:))' "$work/log" | tail -8)"

step "leave nothing that belongs to one machine"
kept=$root/var/lib/appliance-update/packages
mkdir -p "$kept"
cp "$package" "$kept/appliance_$(dpkg-deb -f "$package" Version).deb" # the way back from the first update
echo appliance >"$root/etc/hostname" # so the card names itself, unless Imager does
sed -i 's/^127\.0\.1\.1.*/127.0.1.1\tappliance/' "$root/etc/hosts"
chroot "$root" dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\n' >"$work/installed"
rm -rf "$root/usr/sbin/policy-rc.d" "$root/etc/apt/sources.list.d/appliance-image.list" \
    "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dkms/mok.* "$root"/var/log/apt/* "$root"/var/log/*.log
if [ -e "$work/resolv.conf" ] || [ -L "$work/resolv.conf" ]; then
    mv "$work/resolv.conf" "$root/etc/resolv.conf"
elif [ -z "${PACKAGES:-}" ]; then
    rm "$root/etc/resolv.conf" # this machine's
fi
rm -f "$whole"
cp "$root/etc/appliance/appliance.toml" "$work/boot/appliance-example.toml"
cp "$here/boot/README.txt" "$work/boot/appliance-readme.txt"
if [ -d "$root/etc/cloud/cloud.cfg.d" ]; then format=cloudinit-rpi; else format=systemd; fi
for one in dev/pts dev proc sys boot/firmware mnt/packages; do umount "$root/$one"; done
rmdir "$root/mnt/packages"
(cd "$work/boot" && find . -type f) | while read -r file; do
    cmp -s "$work/boot/$file" "$work/boot-before/$file" && continue
    mcopy -o -m -i "$image@@$boot_start" "$work/boot/$file" "::/${file#./}"
done

step "shrink"
umount "$root"
e2fsck -fp "$disk" >/dev/null || [ $? -le 2 ]
resize2fs -M "$disk" >/dev/null 2>&1
blocks=$(dumpe2fs -h "$disk" 2>/dev/null | sed -n 's/^Block count: *//p')
size=$(dumpe2fs -h "$disk" 2>/dev/null | sed -n 's/^Block size: *//p')
root_bytes=$((blocks * size + (200 << 20))) # what the first start writes before the card has grown
root_bytes=$(((root_bytes + 4194303) / 4194304 * 4194304))
losetup -d "$disk"
disk=
echo ", $((root_bytes / 512))" | sfdisk --quiet --no-reread -N 2 "$image" >/dev/null
truncate -s $((root_start + root_bytes)) "$image"
disk=$(losetup --find --show -o "$root_start" "$image")
resize2fs "$disk" >/dev/null 2>&1
e2fsck -fn "$disk" >/dev/null
losetup -d "$disk"
disk=

step "pack"
zstd -q -f -T0 -9 "$image" -o "$work/$name.img.zst"
"${PYTHON:-python3}" "$here/sbom.py" "$work/installed" "$package" >"$work/$name.cdx.json"
mv "$image" "$out/$name.img"
mv "$work/$name.img.zst" "$work/$name.cdx.json" "$out/"
"${PYTHON:-python3}" "$here/manifest.py" "$out/$name.img" "$out/$name.img.zst" --format "$format" --any-pi \
    >"$out/$name.rpi-imager-manifest"
(cd "$out" && sha256sum "$name.img" "$name.img.zst" "$name.cdx.json" "$name.rpi-imager-manifest" >SHA256SUMS)
step "$out/$name.img: $(du -m "$out/$name.img" | cut -f1) MB, packed $(du -m "$out/$name.img.zst" | cut -f1) MB"
