#!/bin/sh
# Home Assistant in .homeassistant, for the tests against the real one; they skip without.
set -eu
cd "$(dirname "$0")/.."
# The last that runs on Python 3.13.0. paho-mqtt is its MQTT integration's only requirement.
wanted="homeassistant==2025.4.4 paho-mqtt==2.1.0"
[ "$(cat .homeassistant/stamp 2>/dev/null)" = "$wanted" ] && exit 0

find_python() {
    for one in "$(command -v python3.13)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python; do
        # A pyenv shim is there for every version and fails for those that are not chosen.
        [ -x "$one" ] && "$one" -c "" 2>/dev/null && echo "$one" && return
    done
    return 1
}

if ! python=$(find_python); then
    echo "Home Assistant needs Python 3.13, which is not here" >&2
    exit 75
fi
rm -rf .homeassistant
pip=".homeassistant/bin/python -m pip --quiet --disable-pip-version-check"
# shellcheck disable=SC2086 # several words each
if ! { "$python" -m venv .homeassistant && $pip install $wanted; } >/dev/null 2>&1; then
    rm -rf .homeassistant
    echo "Home Assistant cannot be installed" >&2
    exit 75
fi
echo "$wanted" >.homeassistant/stamp
