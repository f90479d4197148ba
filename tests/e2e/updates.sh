#!/bin/sh
# Updates on a clean system, in a container: good ones, and bad ones that must be taken back.
#
# Usage: tests/e2e/updates.sh PACKAGE.deb [CACHE_FOLDER]
set -eu
package=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
. "$here/container.sh"
need_container "${2:-${XDG_CACHE_HOME:-$HOME/.cache}/appliance-e2e}"
. "$here/origin.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
make_root "$work/root" "$here/updates_inside.sh"
make_origin "$package" "$work/root/root"
boot "$work/root" "$work/out" 600
told "$work/out"
