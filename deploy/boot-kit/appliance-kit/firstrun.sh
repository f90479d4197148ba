#!/bin/sh
# For cards that Imager sets up with a firstrun.sh (Raspberry Pi OS bookworm, and trixie until 2025-10):
# what it wrote is done first, then the appliance's installation is prepared for the next start.
set -u
boot=/boot/firmware
[ ! -f "$boot/firstrun.sh" ] || sh "$boot/firstrun.sh" || true
sh "$boot/appliance-kit/install.sh" enable
sed -i 's| systemd\.run.*||g' "$boot/cmdline.txt"
exit 0
