#!/bin/sh
# RAUC's custom boot loader backend for Raspberry Pi's firmware: two systems, A and B, and "tryboot".
#
# Usage: tryboot-backend get-primary | set-primary A|B | get-state A|B | set-state A|B good|bad | get-current | is-trial
#
# The selector is a small FAT partition with autoboot.txt. Its [all] part names the boot partition that
# starts always, its [tryboot] part the one that starts once, when the restart asks for it. A system that
# was started once is made the one that starts always only when it is marked good; a crash before that
# starts the old one. FAT cannot replace a file in one step, but a sector is written whole or not at all:
# autoboot.txt and the states are each shorter than a sector, and are overwritten in place with as many
# bytes as before.
set -eu
selector=${APPLIANCE_SELECTOR:-/boot/selector}
command_line=${APPLIANCE_CMDLINE:-/proc/cmdline}
restart=${APPLIANCE_RESTART:-/run/systemd/reboot-param}

partition_of() { case $1 in A) echo 2 ;; B) echo 3 ;; *) echo "no system called $1" >&2 && exit 2 ;; esac; }
system_of() { case $1 in 2) echo A ;; 3) echo B ;; *) echo "no system on partition $1" >&2 && exit 1 ;; esac; }
other() { case $1 in A) echo B ;; B) echo A ;; esac; }
always() { system_of "$(sed -n '/^\[all\]/,/^\[tryboot\]/s/^boot_partition=//p' "$selector/autoboot.txt")"; }
current() { sed -n 's/.*rauc\.slot=\([AB]\).*/\1/p' "$command_line"; }

overwrite() { # file, text: in place, as long as before
    printf '%s\n' "$2" | dd of="$1" conv=notrunc,fsync status=none
}

select_always() { # A|B: and the other one for a trial
    overwrite "$selector/autoboot.txt" "[all]
tryboot_a_b=1
boot_partition=$(partition_of "$1")
[tryboot]
boot_partition=$(partition_of "$(other "$1")")"
}

case "${1:-}" in
get-primary) # what the next start takes
    if [ "$(cat "$restart" 2>/dev/null)" = "0 tryboot" ]; then other "$(always)"; else always; fi
    ;;
set-primary)
    partition_of "$2" >/dev/null
    if [ "$2" = "$(always)" ]; then
        rm -f "$restart"
    else
        mkdir -p "$(dirname "$restart")"
        echo "0 tryboot" >"$restart"
    fi
    ;;
get-state)
    partition_of "$2" >/dev/null
    cut -c1-4 "$selector/state-$2" | tr -d ' '
    ;;
set-state)
    partition_of "$2" >/dev/null
    case "${3:-}" in good | bad) ;; *) echo "expected good or bad" >&2 && exit 2 ;; esac
    overwrite "$selector/state-$2" "$(printf '%-4s' "$3")"
    # Good, and it is what runs: from now on it starts always.
    if [ "$3" = good ] && [ "$2" = "$(current)" ] && [ "$2" != "$(always)" ]; then select_always "$2"; fi
    ;;
get-current) current ;;
is-trial) [ -n "$(current)" ] && [ "$(current)" != "$(always)" ] ;;
*)
    echo "usage: $0 get-primary | set-primary A|B | get-state A|B | set-state A|B good|bad | get-current | is-trial" >&2
    exit 2
    ;;
esac
