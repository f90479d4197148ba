#!/bin/sh
# Pull the plug at random moments of an update, and see that the unit always comes back.
#
# Usage: tests/e2e/power_cuts.sh PACKAGE.deb ROUNDS [CACHE_FOLDER]
#
# The system's disk is an ext4 file system in a file. At the cut that file system is shut down as if
# the power had gone (what was not written yet is lost, the journal's tail too), the container is
# killed, and started again from what is in the file.
set -eu
package=$(realpath "$1")
rounds=$2
here=$(dirname "$(realpath "$0")")
. "$here/container.sh"
need_container "${3:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-e2e}"
. "$here/origin.sh"
work=$(mktemp -d)
disk=$work/disk
leave() {
    umount -l "$disk" 2>/dev/null || true
    rm -rf "$work"
}
trap leave EXIT
mkdir "$work/out" "$disk"

echo "== prepare a unit that is about to be updated"
make_root "$work/root" "$here/power_prepare.sh"
make_origin "$package" "$work/root/root"
boot "$work/root" "$work/out" 300
told "$work/out"
rm "$work"/root/root/packages/*+[234].deb
will_run "$work/root" "$here/power_update.sh"
mke2fs -q -t ext4 -d "$work/root" "$work/prepared.img" 4G
rm -rf "$work/root"

mount_disk() { mount -o loop,commit=30 "$work/disk.img" "$disk"; }
unmount() { # until nobody has it any more, in no other mount namespace either
    until umount "$disk" 2>/dev/null; do sleep 0.2; done
    while losetup -j "$work/disk.img" | grep -q .; do end_container; sleep 0.2; done
}
cut_power() { # as xfstests' godown: EXT4_IOC_SHUTDOWN without flushing the journal
    "${PYTHON:-python3}" - "$disk" <<'PYTHON'
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))
PYTHON
}

end_container() { # every process that sees the folder for results, which is bound into it
    pkill -KILL -f "systemd-nspawn --quiet -D $disk" || true
    for one in /proc/[0-9]*; do
        if grep -qs "$work/out" "$one/mountinfo"; then kill -KILL "${one#/proc/}" 2>/dev/null || true; fi
    done
}

# How long an update takes here, so that the cuts cover all of it.
cp --sparse=always "$work/prepared.img" "$work/disk.img"
mount_disk
began=$(date +%s)
boot "$disk" "$work/out" 300
whole=$(($(date +%s) - began))
told "$work/out"
unmount
echo "== an update without a cut takes $whole s with start and end"

failed=0
round=1
while [ "$round" -le "$rounds" ]; do
    cp --sparse=always "$work/prepared.img" "$work/disk.img"
    mount_disk
    boot "$disk" "$work/out" 300 &
    runner=$!
    # Every second cut anywhere from the start on; the others once dpkg is at work, the dangerous part.
    if [ $((round % 2)) = 0 ]; then
        hundredths=$(shuf -n 1 -i "300-$((whole * 100 - 100))")
    else
        until grep -qs '^phase=installing' "$disk/var/lib/appliance-update/state"; do
            kill -0 "$runner" 2>/dev/null || { echo "FAILED: the update never began"; exit 1; }
            sleep 0.05
        done
        hundredths=$(shuf -n 1 -i 0-500)
    fi
    seconds=$((hundredths / 100)).$(printf %02d $((hundredths % 100)))
    sleep "$seconds"
    phase=$(sed -n 's/^phase=//p' "$disk/var/lib/appliance-update/state" 2>/dev/null || true)
    cut_power
    end_container
    wait "$runner" || true
    unmount
    mount_disk
    will_run "$disk" "$here/power_check.sh"
    boot "$disk" "$work/out" 200
    if outcome=$(told "$work/out" | tail -1) && [ "$(cat "$work/out/code")" = 0 ]; then
        echo "   cut $round after $seconds s (${phase:-before it began}): $outcome"
    else
        failed=$((failed + 1))
        echo "   cut $round after $seconds s (${phase:-before it began}): FAILED"
        cat "$work/out/report" || true
    fi
    unmount
    round=$((round + 1))
done
[ "$failed" = 0 ] || { echo "FAILED: $failed of $rounds"; exit 1; }
echo "== all well: $rounds cuts, $rounds times a running daemon"
