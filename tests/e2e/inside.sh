#!/bin/sh
# Runs inside the container, as root. Each step says what it shows; the first failure ends it.
set -eu
. /root/steps.sh
online() { [ "$(mosquitto_sub -C 1 -W 2 -t 'appliance/+/status')" = online ]; }
sees_a_cat() { mosquitto_sub -C 2 -W 5 -t 'appliance/+/camera/detections' | grep -q '"label":"cat"'; }
restarted() { [ "$(state MainPID)" != "$1" ] && [ "$(state ActiveState)" = active ]; }

step "the package installs on a clean system and starts"
configure
mkdir -p /etc/systemd/system/appliance.service.d
printf '[Service]\nWatchdogSec=6\nTimeoutAbortSec=2\n' >/etc/systemd/system/appliance.service.d/test.conf
dpkg -i /root/appliance.deb
systemctl start mosquitto
wait_for 40 systemctl is-active appliance.service

step "it runs as its own user, in its sandbox"
pid=$(state MainPID)
[ "$(ps -o user= -p "$pid")" = appliance ] || fail "user is $(ps -o user= -p "$pid")"
[ "$(state NoNewPrivileges)" = yes ] || fail "no sandbox"
grep -q '^CapEff:[[:space:]]*0000000000000000' "/proc/$pid/status" || fail "has capabilities"
grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status" || fail "no system call filter"

step "detections reach a subscriber through the packaged mosquitto"
wait_for 20 online
wait_for 20 detects

if [ -f /opt/shim.so ]; then
    step "a real libcamera feeds it: the virtual camera, through the plain libcamera source"
    cp /etc/appliance/conf.d/test.toml /root/test.toml
    sed -i 's/source = "synthetic"/source = "libcamera"/; s/width = 320/width = 640/; s/height = 240/height = 480/' \
        /etc/appliance/conf.d/test.toml
    printf '[Service]\nEnvironment=LD_PRELOAD=/opt/shim.so\n' >/etc/systemd/system/appliance.service.d/shim.conf
    systemctl daemon-reload
    systemctl restart appliance.service
    wait_for 30 sees_a_cat
    rm /etc/systemd/system/appliance.service.d/shim.conf
    mv /root/test.toml /etc/appliance/conf.d/test.toml
    systemctl daemon-reload
    systemctl restart appliance.service
    wait_for 20 detects
    pid=$(state MainPID)
fi

if [ -f /root/picamera2_pattern.py ]; then
    step "the real picamera2 delivers to our source: the virtual camera's test pattern"
    yaml=/usr/share/libcamera/pipeline/virtual/virtual.yaml
    sed -i 's|frames: .*|test_pattern: "bars"|' $yaml
    LD_PRELOAD=/opt/shim.so PYTHONPATH=/opt/appliance/site-packages:/opt/picamera2 \
        timeout 60 python3 /root/picamera2_pattern.py || fail "no frames"
fi

step "what the package adds to its own rooms is found: hardware of the comparison"
appliance probe --json | python3 -c '
import json, sys
names = {row["name"] for row in json.load(sys.stdin)["accelerators"]}
assert {"cpu", "ncs", "rk1808"} <= names, names' || fail "no legacy hardware"

step "it survives kill -9"
kill -9 "$pid"
wait_for 20 restarted "$pid"
wait_for 20 detects

step "a run by hand beside it is refused, whoever tries; the service has no gap and stays online"
by_hand() { # words that start it as somebody
    code=0
    "$@" appliance run --config /etc/appliance/appliance.toml --set sinks.prometheus.port=0 --frames 3 || code=$?
    [ "$code" = 75 ] || fail "exit code $code instead of 75"
}
mosquitto_sub -W 8 -t 'appliance/+/camera/detections' >/root/meanwhile &
listener=$!
mosquitto_sub -W 8 -t 'appliance/+/status' >/root/status &
wait_for 5 test -s /root/meanwhile
by_hand env
by_hand runuser -u nobody --
by_hand env RUNTIME_DIRECTORY=/run/elsewhere
wait "$listener" || true # it ends by its time limit
python3 -c '
import json
seqs = [json.loads(line)["seq"] for line in open("/root/meanwhile")]
assert len(seqs) > 20 and seqs == list(range(seqs[0], seqs[0] + len(seqs))), seqs' || fail "the service has a gap"
[ "$(sort -u /root/status)" = online ] || fail "status: $(cat /root/status)"

step "a folder that somebody else laid out is not used, what it links to is not touched"
echo mine >/root/precious
runuser -u nobody -- sh -c 'mkdir /tmp/appliance-0 && ln -s /root/precious /tmp/appliance-0/progress && ln -s /root/precious /tmp/appliance-0/outbox-other.sqlite'
code=0
env -u XDG_RUNTIME_DIR -u RUNTIME_DIRECTORY appliance run --config /etc/appliance/appliance.toml --set device=other --set sinks.prometheus.port=0 --frames 3 || code=$?
[ "$code" = 69 ] || fail "exit code $code instead of 69"
[ "$(cat /root/precious)" = mine ] || fail "it was written through the link"
rm -r /tmp/appliance-0

step "it reloads on SIGHUP"
pid=$(state MainPID)
systemctl reload appliance.service
wait_for 20 detects
[ "$(state MainPID)" = "$pid" ] || fail "it was restarted instead"

step "a bad configuration leaves the old one running, and says so"
echo 'sorce = 1' >/etc/appliance/conf.d/zz-bad.toml
systemctl kill -s HUP --kill-whom=main appliance.service
wait_for 20 sh -c 'journalctl -u appliance.service -p err --no-pager | grep -q "reload failed"'
wait_for 20 detects
[ "$(state MainPID)" = "$pid" ] || fail "it was restarted"
rm /etc/appliance/conf.d/zz-bad.toml

step "the watchdog ends a daemon that hangs, and it comes back"
kill -STOP "$pid"
wait_for 40 restarted "$pid"
wait_for 20 detects
journalctl -u appliance.service --no-pager | grep -q "Watchdog timeout" || fail "it was not the watchdog"

step "a daemon that hangs in its camera says so, ends itself and comes back"
cp /etc/appliance/conf.d/test.toml /root/test.toml
printf '[camera.options]\nscript = [{at_frame = 40, kind = "stall", seconds = 600.0}]\n' >>/etc/appliance/conf.d/test.toml
systemctl restart appliance.service
wait_for 20 detects
pid=$(state MainPID)
wait_for 60 restarted "$pid"
journalctl -u appliance.service --no-pager | grep -q "hangs in a frame" || fail "nobody said why"
mv /root/test.toml /etc/appliance/conf.d/test.toml
systemctl restart appliance.service
wait_for 20 detects

step "a bad configuration at the start is refused and not tried again"
echo 'sorce = 1' >/etc/appliance/conf.d/zz-bad.toml
systemctl restart appliance.service || true
wait_for 20 sh -c '[ "$(systemctl show -P ExecMainStatus appliance.service)" = 78 ]'
[ "$(state ActiveState)" = failed ] || fail "it is $(state ActiveState)"
rm /etc/appliance/conf.d/zz-bad.toml
systemctl reset-failed appliance.service
systemctl start appliance.service
wait_for 20 detects

step "an edited configuration survives an upgrade"
echo '# mine' >>/etc/appliance/appliance.toml
dpkg -i --force-confdef --force-confold /root/appliance.deb
tail -1 /etc/appliance/appliance.toml | grep -q mine || fail "the edit is lost"
wait_for 40 detects

step "the unit verifies, and its exposure"
systemd-analyze verify --man=no /usr/lib/systemd/system/appliance*.service \
    /usr/lib/systemd/system/appliance*.timer /usr/lib/systemd/system/appliance*.path || fail "a unit does not verify"
systemd-analyze security --offline=true --threshold=20 --no-pager /usr/lib/systemd/system/appliance.service | tail -1
systemd-analyze security --offline=true --threshold=20 /usr/lib/systemd/system/appliance.service >/dev/null ||
    fail "more exposed than 2.0"

step "removed, it leaves its configuration; purged, nothing"
dpkg -r appliance
! systemctl is-active --quiet appliance.service || fail "still running"
[ -f /etc/appliance/appliance.toml ] || fail "the configuration is gone"
[ ! -e /opt/appliance ] || fail "left: $(find /opt/appliance | head -3)"
rm /etc/appliance/conf.d/test.toml
dpkg -P appliance
for path in /etc/appliance /var/lib/appliance /var/cache/appliance /usr/bin/appliance; do
    [ ! -e "$path" ] || fail "left: $path"
done
echo "== all well"
