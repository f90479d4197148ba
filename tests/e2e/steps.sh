# Sourced by what runs inside the container.
step() { echo "== $*"; }
fail() {
    echo "FAILED: $*"
    systemctl status --no-pager appliance.service || true
    journalctl --no-pager -u appliance.service -n 40 || true
    exit 1
}
wait_for() { # seconds, words of a command that must succeed
    until=$(($(date +%s) + $1))
    shift
    while [ "$(date +%s)" -le "$until" ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    fail "not in time: $*"
}
state() { systemctl show -P "$1" appliance.service; }
detects() { mosquitto_sub -C 3 -W 5 -t 'appliance/+/camera/detections'; }
configure() { # a camera that needs no hardware
    mkdir -p /etc/appliance/conf.d
    cat >/etc/appliance/conf.d/test.toml <<'CONF'
[accelerator]
name = "cpu"
[telemetry]
interval_seconds = 2
[[camera]]
name = "camera"
source = "synthetic"
width = 320
height = 240
fps = 10
CONF
}
