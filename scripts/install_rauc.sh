#!/bin/sh
# RAUC and what it calls, for the tests of cards with two systems; 75 where it cannot be had.
set -eu
if ! command -v rauc >/dev/null || ! command -v mksquashfs >/dev/null || ! command -v dbus-daemon >/dev/null; then
    [ "$(id -u)" = 0 ] && apt-get -qq update >&2 &&
        apt-get -qq install -y --no-install-recommends rauc squashfs-tools dbus >/dev/null || exit 75
fi
