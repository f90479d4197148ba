#!/bin/sh
# The vendors' own camera code against our sources: picamera2 and libcamera with its virtual
# cameras, in a root of Debian trixie that is not booted (vendor_cameras.py, vendor_imx500.py).
#
# Usage: PYTHON=.venv/bin/python tests/e2e/vendors.sh PACKAGE.deb [CACHE_FOLDER]
# 75 where the root, gcc or picamera2 cannot be had.
set -eu
package=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
python=${PYTHON:-python3}
. "$here/container.sh"
RELEASE=trixie # bookworm's libcamera has no binding for Python
need_container "${2:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-e2e}"
command -v gcc >/dev/null || apt-get -qq install -y --no-install-recommends gcc libc6-dev >/dev/null ||
    missing "gcc cannot be installed"
sh "$here/../../scripts/fetch_vendors.sh" picamera2 || missing "picamera2 cannot be fetched"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"
tar -xf "$base" -C "$root" --exclude='./dev/*'
dpkg-deb -x "$package" "$root"
mkdir -p "$root/opt/ours/tests" "$root/opt/picamera2" "$root/usr/share/libcamera/pipeline/virtual"
cp -r "$here/../../.vendors/picamera2/." "$root/opt/picamera2"
cp -r "$here" "$here/../__init__.py" "$here/../packing.py" "$root/opt/ours/tests"
gcc -shared -fPIC -O1 -o "$root/opt/shim.so" "$here/../fakes/dmabuf_shim.c" -ldl
"$python" "$here/virtual_camera.py" "$work/camera"
cp -r "$work/camera/frames" "$root/opt/frames"
cat "$work/camera/virtual.yaml" - >"$root/usr/share/libcamera/pipeline/virtual/virtual.yaml" <<'YAML'
"Virtual1":
  supported_formats: [{width: 1280, height: 720, frame_rates: [30, 60]}]
  test_pattern: "bars"
  location: "CameraLocationBack"
  model: "imx500"
YAML
# The virtual camera of libcamera 0.4.0 never writes its buffers' metadata. Memory that comes as
# zeros says "success"; without that a frame now and then counts as failed or cancelled.
inside() { # words for python3
    systemd-nspawn --quiet -D "$root" --register=no --keep-unit --private-network --pipe \
        --setenv=GLIBC_TUNABLES=glibc.malloc.perturb=255:glibc.malloc.tcache_count=0 \
        --setenv=LD_PRELOAD=/opt/shim.so --setenv=LIBCAMERA_LOG_LEVELS='*:FATAL' \
        --setenv=PYTHONPATH=/opt/ours:/opt/appliance/site-packages:/opt/picamera2 python3 "$@" </dev/null
}
inside -c '' || missing "the container does not start on this machine"
inside -m tests.e2e.vendor_cameras
inside -m tests.e2e.vendor_imx500
echo "== all well"
