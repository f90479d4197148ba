# Sourced by the scripts here: a clean Debian (trixie) with a real systemd, in a container.
# RELEASE=bookworm takes that instead. Needs root, mmdebstrap and systemd-nspawn (75 where they are not there).
missing() {
    echo "not run: $1" >&2
    exit 75
}

need_container() { # cache folder: sets $base, a tar that is made once
    [ "$(id -u)" = 0 ] || missing "not root"
    if ! command -v systemd-nspawn >/dev/null || ! command -v mmdebstrap >/dev/null; then
        apt-get -qq update && apt-get -qq install -y --no-install-recommends mmdebstrap systemd-container >/dev/null ||
            missing "systemd-nspawn and mmdebstrap cannot be installed"
    fi
    release=${RELEASE:-trixie}
    base=$1/base-2-$release.tar
    camera=",python3-libcamera,libcamera-ipa"
    [ "$release" != bookworm ] || camera="" # has no binding for Python
    mkdir -p "$1"
    [ -f "$base" ] || {
        mmdebstrap --quiet --mode=root --format=tar --variant=minbase \
            --include="systemd,systemd-sysv,udev,dbus,init,kmod,procps,python3,python3-systemd,libnss-systemd,mosquitto,mosquitto-clients$camera" \
            --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' "$release" "$base.partial" ||
            missing "mmdebstrap failed"
        mv "$base.partial" "$base"
    }
}

make_root() { # folder, script that is to run inside
    mkdir -p "$1"
    tar -xf "$base" -C "$1" --exclude='./dev/*'
    [ -s "$1/etc/hosts" ] || echo "127.0.0.1 localhost" >"$1/etc/hosts" # as an installed system has
    will_run "$1" "$2"
}

will_run() { # folder, script: run once the system is up; the machine goes off when it ends
    cp "$2" "$1/root/inside.sh"
    cp "$here/steps.sh" "$1/root/steps.sh"
    cat >"$1/etc/systemd/system/e2e.service" <<'UNIT'
[Unit]
After=multi-user.target mosquitto.service
[Service]
Type=idle
ExecStart=/bin/sh -c "sh /root/inside.sh >/srv/out/report 2>&1; echo $? >/srv/out/code; systemctl poweroff --no-block"
UNIT
    mkdir -p "$1/srv/out" "$1/etc/systemd/system/default.target.wants"
    ln -sf /etc/systemd/system/e2e.service "$1/etc/systemd/system/default.target.wants/e2e.service"
}

boot() { # folder, folder for results, seconds
    rm -f "$2/report" "$2/code"
    timeout -s KILL "$3" systemd-nspawn --quiet -D "$1" --register=no --keep-unit --boot --private-network \
        --bind="$2:/srv/out" >"$2/console" 2>&1 </dev/null || true
}

told() { # folder for results: print the report and end with its code
    if [ ! -f "$1/report" ]; then # it never came to us: the container, not the package
        tail -20 "$1/console" >&2
        missing "the container does not boot on this machine"
    fi
    cat "$1/report"
    return "$(cat "$1/code" 2>/dev/null || echo 1)"
}
