#!/bin/sh
# A signed bundle that updates a card with two systems.
#
# Usage: deploy/image/ab/make_bundle.sh BOOT_IMAGE ROOT_IMAGE VERSION CERTIFICATE.pem KEY.pem BUNDLE
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/content"
cp --sparse=always "$1" "$work/content/boot.img"
cp --sparse=always "$2" "$work/content/root.img"
cat >"$work/content/manifest.raucm" <<MANIFEST
[update]
compatible=${COMPATIBLE:-appliance-arm64}
version=$3

[bundle]
format=${FORMAT:-verity}

[image.boot]
filename=boot.img

[image.rootfs]
filename=root.img
MANIFEST
rauc --cert="$4" --key="$5" bundle "$work/content" "$6"
