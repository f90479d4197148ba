#!/bin/sh
# Installs the appliance on a stock Raspberry Pi OS, from the boot partition.
#
# Usage: install.sh prepare     make the unit that installs, and start it: at each start, until it is done
#        install.sh enable      the same without starting it
#        install.sh run         what the unit does; it is tried again until it has worked
#
# Whatever interrupts it, the next start goes on: dpkg finishes what it began, and the unit goes away
# only when everything is installed.
set -eu
kit=$(dirname "$(realpath "$0")")
unit=appliance-install.service
units=/etc/systemd/system
script=/usr/local/lib/appliance-install.sh

installed() { [ "$(dpkg-query -W -f '${Status}' appliance-card 2>/dev/null)" = "install ok installed" ]; }

enable() {
    # A copy: the unit must not depend on when the boot partition is mounted.
    mkdir -p "${script%/*}" "$units/multi-user.target.wants"
    cp "$kit/install.sh" "$script.new"
    mv "$script.new" "$script"
    cat >"$units/$unit.new" <<UNIT
[Unit]
Description=Install the camera detection appliance
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh $script run
Restart=on-failure
RestartSec=15
# The screen is all that its owner sees.
StandardOutput=journal+console
StandardError=journal+console
UNIT
    mv "$units/$unit.new" "$units/$unit"
    ln -sf "../$unit" "$units/multi-user.target.wants/$unit"
    sync
}

run() {
    kit=/boot/firmware/appliance-kit
    export DEBIAN_FRONTEND=noninteractive
    echo "appliance: finishing what was interrupted, if anything"
    dpkg --force-confold --configure -a
    if ! installed; then
        . /usr/lib/os-release
        set -- "$kit"/appliance_*~"${VERSION_CODENAME:-none}"_arm64.deb
        if [ ! -f "$1" ]; then
            echo "appliance: there is no package for ${PRETTY_NAME:-this system} in appliance-kit; nothing is installed"
            exit 1
        fi
        . "$kit/software.sh"
        more=
        for one in $(cat "$kit/accelerators.txt" 2>/dev/null | tr ',\r\n' '   '); do
            more="$more $(software_of "$one")" ||
                echo "appliance: accelerators.txt: $one is none of coral, hailo, imx500; it is left out"
        done
        # Imager's wishes may be installing something, too.
        lock="-o DPkg::Lock::Timeout=600"
        echo "appliance: waiting for the package sources"
        # shellcheck disable=SC2086 # lists
        if ! apt-get $lock -qq -o APT::Update::Error-Mode=any update; then
            echo "appliance: no package source answers (is there a network?); trying again in 15 s"
            exit 1
        fi
        echo "appliance: installing; this takes some minutes"
        # shellcheck disable=SC2086
        apt-get $lock -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold install \
            "$1" "$kit"/appliance-card_*_all.deb $needed $more
    fi
    [ "$(cat /etc/hostname)" != raspberrypi ] || echo appliance >/etc/hostname # it will name itself
    rm -f "$units/multi-user.target.wants/$unit" "$units/$unit" "$script"
    sync
    echo "appliance: installed; restarting"
    systemctl reboot
}

case ${1:-} in
prepare)
    if installed && [ ! -e "$units/$unit" ]; then exit 0; fi
    enable
    systemctl daemon-reload
    systemctl start --no-block "$unit"
    ;;
enable) enable ;;
run) run ;;
*)
    echo "usage: install.sh prepare|enable|run" >&2
    exit 2
    ;;
esac
