#!/bin/sh
# The Debian package on a clean Debian trixie with a real systemd, in a container.
#
# Usage: PYTHON=.venv/bin/python tests/e2e/nspawn.sh PACKAGE.deb [CACHE_FOLDER]
#
# Needs root, mmdebstrap and systemd-nspawn (75 where they are not there). The base system is made
# once and cached. What happens inside is in inside.sh; its report is printed, its failure ours.
set -eu
package=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
cache=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-e2e}
missing() { echo "not run: $1" >&2; exit 75; }

[ "$(id -u)" = 0 ] || missing "not root"
if ! command -v systemd-nspawn mmdebstrap >/dev/null; then
    apt-get -qq update && apt-get -qq install -y --no-install-recommends mmdebstrap systemd-container >/dev/null ||
        missing "systemd-nspawn and mmdebstrap cannot be installed"
fi
mkdir -p "$cache"
if [ ! -f "$cache/base-2.tar" ]; then
    mmdebstrap --quiet --mode=root --variant=minbase \
        --include=systemd,systemd-sysv,udev,dbus,init,kmod,procps,python3,python3-systemd,python3-libcamera,libcamera-ipa,libnss-systemd,mosquitto,mosquitto-clients \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$cache/base-2.partial.tar" ||
        missing "mmdebstrap failed"
    mv "$cache/base-2.partial.tar" "$cache/base-2.tar"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root" "$work/out"
tar -xf "$cache/base-2.tar" -C "$work/root" --exclude='./dev/*'
cp "$package" "$work/root/root/appliance.deb"
cp "$here/inside.sh" "$work/root/root/inside.sh"
# A virtual camera of libcamera's own: pictures, and memory that passes for dma-bufs.
if command -v gcc >/dev/null; then
    gcc -shared -fPIC -O1 -o "$work/root/opt/shim.so" "$here/../fakes/dmabuf_shim.c" -ldl
    "${PYTHON:-python3}" "$here/virtual_camera.py" "$work/camera"
    cp -r "$work/camera/frames" "$work/root/opt/frames"
    mkdir -p "$work/root/usr/share/libcamera/pipeline/virtual"
    cp "$work/camera/virtual.yaml" "$work/root/usr/share/libcamera/pipeline/virtual/"
fi
cat >"$work/root/etc/systemd/system/e2e.service" <<'UNIT'
[Unit]
After=multi-user.target mosquitto.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c "sh /root/inside.sh >/srv/out/report 2>&1; echo $? >/srv/out/code; systemctl poweroff --no-block"
UNIT
mkdir -p "$work/root/srv/out" "$work/root/etc/systemd/system/default.target.wants"
ln -s /etc/systemd/system/e2e.service "$work/root/etc/systemd/system/default.target.wants/e2e.service"
timeout 300 systemd-nspawn --quiet -D "$work/root" --register=no --keep-unit --boot --private-network \
    --bind="$work/out:/srv/out" >"$work/console" 2>&1 || true
if [ ! -f "$work/out/report" ]; then # it never came to us: the container, not the package
    tail -20 "$work/console" >&2
    missing "the container does not boot on this machine"
fi
cat "$work/out/report"
exit "$(cat "$work/out/code" 2>/dev/null || echo 1)"
