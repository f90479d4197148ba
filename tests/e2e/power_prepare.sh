#!/bin/sh
# Runs inside the container: a unit that sees, and an origin with something newer.
set -eu
. /root/steps.sh
base=$(ls /root/packages | sed -n 's/^appliance_\([0-9.]*\)\.deb$/\1/p')
configure
printf '[update]\norigin = "file:///srv/origin"\n' >/etc/appliance/conf.d/update.toml
dpkg -i "/root/packages/appliance_$base.deb" >/dev/null
cp /root/signed/key.asc /etc/appliance/update-key.asc
mkdir /srv/origin
ln "/root/packages/appliance_$base.deb" "/root/packages/appliance_$base+1.deb" /srv/origin/
cp -r "/root/signed/${base}_$base+1/." /srv/origin/
systemctl start mosquitto
wait_for 40 detects
