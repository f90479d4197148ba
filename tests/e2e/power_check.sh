#!/bin/sh
# Runs inside the container after the cut: is it a whole unit again?
set -eu
. /root/steps.sh
settled() { [ "$(sed -n 's/^phase=//p' /var/lib/appliance-update/state 2>/dev/null || echo idle)" = idle ] || [ ! -e /var/lib/appliance-update/state ]; }
wait_for 90 detects
wait_for 60 settled
wait_for 20 detects
[ "$(dpkg-query -W -f '${db:Status-Abbrev}' appliance)" = "ii " ] || fail "half installed"
dpkg --audit | grep . && fail "dpkg is not whole"
version=$(dpkg-query -W -f '${Version}' appliance)
dpkg --verify appliance | grep -v ' c /etc\|/usr/share/' | grep . && fail "files of another version"
systemctl is-active -q appliance || fail "not running"
echo "runs $version, $(sed -n 's/^result=//p' /var/lib/appliance-update/state 2>/dev/null)"
