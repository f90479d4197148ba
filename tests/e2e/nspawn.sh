#!/bin/sh
# The Debian package on a clean system: installed, used, broken, removed (inside.sh).
#
# Usage: PYTHON=.venv/bin/python tests/e2e/nspawn.sh PACKAGE.deb [CACHE_FOLDER]
set -eu
package=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
. "$here/container.sh"
need_container "${2:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-e2e}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
make_root "$work/root" "$here/inside.sh"
cp "$package" "$work/root/root/appliance.deb"
# A virtual camera of libcamera's own: pictures, and memory that passes for dma-bufs.
if command -v gcc >/dev/null && [ "$release" = trixie ]; then # bookworm's libcamera has none
    gcc -shared -fPIC -O1 -o "$work/root/opt/shim.so" "$here/../fakes/dmabuf_shim.c" -ldl
    "${PYTHON:-python3}" "$here/virtual_camera.py" "$work/camera"
    cp -r "$work/camera/frames" "$work/root/opt/frames"
    mkdir -p "$work/root/usr/share/libcamera/pipeline/virtual"
    cp "$work/camera/virtual.yaml" "$work/root/usr/share/libcamera/pipeline/virtual/"
    # Raspberry Pi's picamera2 is not in Debian; of its packages only what is really used.
    if "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --implementation cp --python-version 3.13 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
        --target "$work/root/opt/picamera2" picamera2==0.3.38 pillow simplejpeg videodev2; then
        cp "$here/picamera2_pattern.py" "$work/root/root/"
    else
        echo "picamera2 cannot be fetched: its step is left out" >&2
    fi
fi
boot "$work/root" "$work/out" 300
told "$work/out"
