#!/bin/sh
# Is this image what `make image BASE=` expects? Each thing that a Raspberry Pi OS Lite has, and that
# the appliance's image or boot kit relies on, is looked up in the file. Nothing is changed or run.
#
# Usage: scripts/check_base.sh IMAGE.img
#
# Prints a line each; "MISSING" ends it with 65, "differs" does not: what was built here against the
# stand-in of tests/image may behave otherwise there. Needs sfdisk, mtools, e2fsprogs; not root.
set -u
here=$(dirname "$(realpath "$0")")
. "$here/../deploy/image/layout.sh"
[ -f "${1:-}" ] || {
    echo "usage: scripts/check_base.sh IMAGE.img (unpack an .xz with: xz -dk FILE)" >&2
    exit 2
}
open_layout "$1" || exit $?
faults=0

need() { # what, what was found, what is wanted: an extended regular expression
    if printf '%s\n' "$2" | grep -qE "$3"; then
        echo "ok       $1: $(printf '%s' "$2" | head -1)"
    else
        echo "MISSING  $1: $(printf '%s' "${2:-nothing}" | head -1); expected $3"
        faults=1
    fi
}
expect() { # the same, of what only the stand-in cannot show
    if printf '%s\n' "$2" | grep -qE "$3"; then
        echo "ok       $1: $(printf '%s' "$2" | head -1)"
    else
        echo "differs  $1: $(printf '%s' "${2:-nothing}" | head -1); a Raspberry Pi OS Lite has $3"
    fi
}
there() { if "$1" "$2"; then echo "$2"; fi; }
first() { while read -r name; do root_has "$name" && echo "$name" && return; done; }

need "64-bit programs" "$(root_architecture)" '^arm64$'
need "release" "$(root_release)" '^(trixie|bookworm)$'
words=$(boot_file cmdline.txt)
need "cmdline.txt names the root partition" "$words" '(^| )root=PARTUUID=[0-9a-f]{8}-02( |$)'
need "the root is mounted for writing" "$(printf ' %s ' "$words" | grep -q ' ro ' && echo no || echo yes)" '^yes$'
need "fstab mounts the boot partition" "$(root_file /etc/fstab | grep /boot/firmware)" '[[:space:]]/boot/firmware[[:space:]]+vfat'
need "the firmware's configuration" "$(boot_file config.txt | tr -d '\r' | grep arm_64bit)" '^arm_64bit=1'
need "systemd" "$(there root_has /usr/lib/systemd/systemd)" .
need "apt" "$(there root_has /usr/bin/apt-get)" .
need "package sources" "$(root_list /etc/apt/sources.list.d | grep -v '^\.' | xargs)" '\.(sources|list)'
need "Python" "$(printf '%s\n' /usr/bin/python3.13 /usr/bin/python3.11 | first)" .
customised="$(there root_has /etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg)$(there root_has /usr/lib/raspberrypi-sys-mods/imager_custom)"
need "a way for Imager's wishes (cloud-init or firstrun)" "$customised" .
if root_has /etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg; then
    configured=$(root_file /etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg)
    need "cloud-init reads the boot partition" "$(printf '%s\n' "$configured" | grep seedfrom)" 'file:///boot/firmware'
    need "the boot kit's vendor-data is free" "$(boot_has vendor-data && echo taken || echo free)" '^free$'
    expect "user-data" "$(boot_file user-data | head -1)" '^#cloud-config'
fi
expect "the card grows at its first start" "$words" ' resize( |$)'
expect "its name" "$(root_file /etc/hostname)" '^raspberrypi$'
expect "made by pi-gen" "$(root_file /etc/rpi-issue)" 'Raspberry Pi reference'
expect "kernels of Raspberry Pi" "$(root_list /lib/modules | grep rpi | xargs)" 'rpi-(v8|2712)'
expect "Raspberry Pi's archive" "$(root_list /etc/apt/sources.list.d | grep raspi)" 'raspi'
expect "NetworkManager" "$(there root_has /usr/sbin/NetworkManager)" 'NetworkManager'
expect "first start is known as such" "$(root_file /etc/machine-id)" '^uninitialized$'
[ "$faults" = 0 ] || exit 65
