# Runs inside the started image, as root; each line begins with "probe:".
say() { echo "probe: $*"; }
fault() { say "FAULT $*"; }
show() { systemctl show -P "$1" appliance.service; }

# The device rules of the sandbox, which a container does not enforce.
set --
for rule in $(systemctl show -P DeviceAllow appliance.service | tr ' ' '\n' | grep '^[/c]'); do
    set -- "$@" -p "DeviceAllow=$rule rw"
done
try() { # device
    systemd-run --quiet --wait --collect -p "DevicePolicy=$(show DevicePolicy)" "$@" >/dev/null 2>&1
}
disk=$(lsblk -ndo PATH 2>/dev/null | grep -E '/dev/(vda|mmcblk0)$' | head -1)
disk=${disk:-/dev/vda}
if try "$@" sh -c 'exec 3<>/dev/video0'; then say "devices: the camera opens"; else fault "the camera is refused"; fi
if try "$@" sh -c "exec 3<$disk"; then fault "the disk opens"; else say "devices: the disk is refused"; fi
if try "$@" sh -c 'exec 3</dev/kmsg'; then fault "the kernel log opens"; else say "devices: the kernel log is refused"; fi
if sh -c "exec 3<$disk"; then say "devices: without the rules the disk opens"; else fault "the disk never opens"; fi

pid=$(show MainPID)
[ "$(ps -o user= -p "$pid")" = appliance ] && say "runs as appliance" || {
    fault "does not run as appliance"
    journalctl --no-pager -u appliance.service -n 15 | sed 's/^/probe: /'
}
systemctl is-active --quiet ssh && fault "SSH runs without a key" || say "SSH is off"
listening=$(ss -Hltn | awk '{print $4}' | grep -v '^127\|^\[::1\]' | sort | xargs)
say "listens on the network: $listening"
for one in $listening; do
    case "$one" in *:8883 | *:9750) ;; *) fault "listens on $one" ;; esac
done
say "root: $(df -h --output=size,used / | tail -1 | xargs), $(findmnt -no OPTIONS /)"
[ "$(df --output=size / | tail -1)" -gt 3000000 ] || fault "the root file system has not grown"
findmnt -no OPTIONS /boot/firmware | grep -q '^ro' && say "boot partition is read-only" || fault "boot partition is writable"
# What was put on the boot partition after the first start, for cloud-init: done, and not again.
i=0
while [ ! -e /etc/cloud/cloud-init.disabled ] && [ $i -lt 120 ]; do
    sleep 1
    i=$((i + 1))
done
[ "$(wc -l </var/lib/imager-was-here)" = 1 ] && say "cloud-init did what it was asked" || fault "cloud-init did not run once"
[ -e /etc/cloud/cloud-init.disabled ] && say "cloud-init is off the path again" || fault "cloud-init runs at the next start, too"
say "watchdog: $(systemctl show -P RuntimeWatchdogUSec)"
say "host name: $(hostname), $(systemctl is-active avahi-daemon mosquitto appliance | xargs)"
[ -z "$(systemctl --failed --no-legend --plain | cut -d' ' -f1)" ] || fault "failed: $(systemctl --failed --no-legend --plain | xargs)"
until systemd-analyze time >/dev/null 2>&1; do sleep 2; done
systemd-analyze time | sed 's/^/probe: /'
systemd-analyze critical-chain appliance.service --no-pager | sed 's/^/probe: /'
# What is written in steady state, and by whom.
written() { awk '{print $7}' /sys/block/vda/stat; }
writers() { for one in /proc/[0-9]*; do echo "$(cat "$one/comm") $(sed -n 's/^write_bytes: //p' "$one/io")"; done 2>/dev/null | sort; }
sleep 45 # what the start left behind
before=$(written)
writers >/run/before
sleep 90
say "written in 90 s: $((($(written) - before) / 2)) KiB"
writers | diff /run/before - | sed -n 's/^> /probe: wrote since the start: /p'
say end
