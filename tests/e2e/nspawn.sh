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
fi
boot "$work/root" "$work/out" 300
told "$work/out"
