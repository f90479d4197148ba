#!/bin/sh
# Runs inside the container, as root: updates that work, and those that must be taken back.
set -eu
. /root/steps.sh
export GNUPGHOME=/root/gnupg APPLIANCE_PROVE_SECONDS=25
offer() { # packages...: what the origin has from now on
    rm -rf /srv/origin
    mkdir /srv/origin
    for one in "$@"; do cp "/root/packages/appliance_$one.deb" "/root/packages/appliance-card_$one.deb" /srv/origin/; done
    cp -r "/root/signed/$(echo "$*" | tr ' ' _)/." /srv/origin/
}
version() { dpkg-query -W -f '${Version}' appliance | sed 's/~.*//'; }
card() { dpkg-query -W -f '${Version}' appliance-card 2>/dev/null || true; }
told() { sed -n "s/^$1=//p" /var/lib/appliance-update/state; }
runs() { # version: as a package, and as what publishes
    [ "$(version)" = "$1" ] || fail "version $(version) instead of $1"
    [ "$(card)" = "${2:-}" ] || fail "appliance-card is $(card) instead of ${2:-none}"
    [ "$(told phase)" = idle ] || fail "phase $(told phase)"
    wait_for 30 detects
}

step "a version to start from"
base=$(ls /root/packages | sed -n 's/^appliance_\([0-9.]*\)\.deb$/\1/p')
configure
dpkg -i "/root/packages/appliance_$base.deb" >/dev/null
systemctl start mosquitto
wait_for 40 detects
printf '[update]\norigin = "file:///srv/origin"\n' >/etc/appliance/conf.d/update.toml
cp /root/signed/key.asc /etc/appliance/update-key.asc

step "the origin is asked"
offer "$base" "$base+1"
appliance update --check
appliance update

step "a newer version is installed, and proved by what it sees"
pid=$(state MainPID)
appliance update --install
runs "$base+1"
[ "$(told result)" = installed ] || fail "result $(told result)"
[ "$(state MainPID)" != "$pid" ] || fail "the old one still runs"
journalctl -u appliance --no-pager -o cat | tail -3

step "the package of the card goes with it, there and back"
dpkg -i "/root/packages/appliance_$base.deb" "/root/packages/appliance-card_$base.deb" >/dev/null
wait_for 30 detects
appliance update --install
runs "$base+1" "$base+1"

for bad in 2 3 4; do
    case $bad in
    2) step "a version that does not start is taken back" ;;
    3) step "a version that sees nothing is taken back" ;;
    4) step "a version whose installation fails is taken back" ;;
    esac
    offer "$base+1" "$base+$bad"
    if appliance update --install; then fail "it was kept"; fi
    runs "$base+1" "$base+1"
    [ "$(told result)" = "taken back" ] || fail "result $(told result)"
done

step "what was taken back is not tried again by itself"
printf '[update]\norigin = "file:///srv/origin"\ninstall = "automatic"\n' >/etc/appliance/conf.d/update.toml
appliance update --scheduled | grep -q "not tried again" || fail "it is tried again"

step "an origin that somebody changed is refused"
offer "$base" "$base+2" # signed last: apt does not go back to older lists
sed -i 's/^Version: .*/Version: 9.9.9/' /srv/origin/Packages
rm -f /srv/origin/Packages.gz
if appliance update --check; then fail "it is trusted"; fi
runs "$base+1" "$base+1"

step "a package that somebody changed is refused"
offer "$base" "$base+2"
echo x >>"/srv/origin/appliance_$base+2.deb"
if appliance update --install; then fail "it is trusted"; fi
told reason | grep -q damaged || fail "reason: $(told reason)"
runs "$base+1" "$base+1"

step "a full card is said before anything changes"
offer "$base" "$base+2"
fallocate -l "$(($(df --output=avail -B1 /opt | tail -1) - 100000000))" /filler || fail "the card cannot be filled"
if appliance update --install; then fail "there was space"; fi
told reason | grep -q needed || fail "reason: $(told reason)"
rm -f /filler
runs "$base+1" "$base+1"

step "two at once: the second steps back"
offer "$base" "$base+2"
(flock 9; sleep 3) 9>/var/lib/appliance-update/lock &
sleep 1
code=0
appliance update --check || code=$?
[ "$code" = 75 ] || fail "exit code $code"
wait

step "what was cut off is finished by the next one: the shell that asked goes away"
rm -f /var/lib/appliance-update/packages/appliance_"$base"+2.deb
sed -i 's/^phase=.*/phase=installing/; s/^from=.*/from='"$(dpkg-query -W -f '${Version}' appliance)"'/' /var/lib/appliance-update/state
appliance update --install || true
runs "$base+1" "$base+1"

step "without an origin nothing is asked"
rm /etc/appliance/conf.d/update.toml
appliance update --scheduled
echo "== all well"
