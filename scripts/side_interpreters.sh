#!/bin/sh
# Make environments of older Pythons in .side, for the tests of side interpreters. Those that are
# not on this machine, or cannot be filled, are left out; their tests skip.
set -eu
cd "$(dirname "$0")/.."

find_python() {
    for one in "$(command -v "python$1")" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        # A pyenv shim is there for every version and fails for those that are not chosen.
        [ -x "$one" ] && "$one" -c "" 2>/dev/null && echo "$one" && return
    done
    return 1
}

side() {
    version=$1
    shift
    [ -f ".side/$version/stamp" ] && return
    if ! python=$(find_python "$version"); then
        echo "side interpreter $version: not here"
        return
    fi
    "$python" -m venv ".side/$version"
    if ".side/$version/bin/python" -m pip install --quiet --disable-pip-version-check "$@" 2>/dev/null; then
        touch ".side/$version/stamp"
        echo "side interpreter $version: $*"
    else
        rm -rf ".side/$version"
        echo "side interpreter $version: $* cannot be installed"
    fi
}

side 3.6 "numpy<1.20"
side 3.8 "numpy<1.25"
# The last OpenVINO with the API that drives the Neural Compute Sticks, the last tflite-runtime.
side 3.10 "numpy<2" "openvino==2022.3.1" "tflite-runtime==2.14.0"
# The appliance itself where LiteRT has no wheel and only tflite-runtime is left.
side 3.11 "tflite-runtime==2.14.0" "tflite" "numpy<2" "opencv-python-headless<4.12" msgspec simplejpeg paho-mqtt rich
