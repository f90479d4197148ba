"""The document of all accelerators, made from what each says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.accelerators import Registry
from scripts.documents.evidence import evidence_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.accelerators import Accelerator

_STATUS = {
    "tested": "run in CI",
    "contract": "contract-tested, never on hardware by us",
    "refused": "refused",
}
_INTRODUCTION = """\
# Accelerators

`appliance probe` lists them all on your machine, with what is missing. `appliance probe --prove`
runs those that are there on two known pictures, compares what they see with the CPU, and times
them; `auto` (the default) does the same once, keeps the result until model, runtime or device
change, and takes the best. A name in `accelerator.name` takes that one: where it is missing the
unit says so (alert `failover`, health `degraded`), goes on with the CPU and keeps trying, or ends
if `accelerator.fallback = "none"`. `appliance detect` and `appliance bench` never fall back.

How far each is proved: **run in CI** runs the real runtime on every change; **contract-tested**
runs our code against a stand-in that follows the vendor's documented interface, because we have no
such hardware, so expect to report what we got wrong; **refused** is recognised at most.

FPS are for SSD MobileNet v2 at 300x300, inference alone: *published* by the comparison of 2020 that
this project grew out of (capture and resize not counted), *measured* by
`{command}`
on {machine}; compare them within a column only.

| name | device | found by | to install | models | status | published FPS | measured FPS |
|---|---|---|---|---|---|---|---|
"""
_REST = """
Parity in that measurement: {parity}

## What happens when one fails

Every runtime but the CPU's lives in a child process. A crash (exit code 139), an abort (134, as
libedgetpu does when its stick is pulled), an illegal instruction (132) or a hang (no answer within
4 s) costs the child: the picture in hand runs on the CPU, an alert says why, and every
`accelerator.retry_seconds` the device is probed, opened and proved again before it is taken back.
A runtime that quietly runs the model on the CPU after all is reported as degraded. Of delegates
(`edgetpu`, `teflon`, `vx`) the operators they took are counted; one that took no convolution is
degraded, whatever else it took.

## What was real in the tests

Vendors' own code is fetched by `scripts/fetch_vendors.sh`, pinned and by hash. Where it cannot be
had, its tests are passed over and say so.

{evidence}
## The service's device list

The unit opens only what its `DeviceAllow=` lines name. systemd turns them into numbers when the
service starts and never again while it runs: `char-NAME` by /proc/devices (where a driver has
another name than its class in /sys), `char-NUMBER` as it stands, `/dev/NODE` by the node that is
there. So drivers with a number of their own (video4linux, ttyACM, usb_device, drm, accel, apex,
galcore) are listed by it and may be loaded at any time, and the modules of the others (media,
Hailo, NVIDIA, udmabuf) are loaded before the service starts (`modprobe@.service`). What stays
refused until `systemctl restart appliance`: a Hailo whose driver is installed, or a Jetson's GPU
that is powered on (`/dev/nvgpu`), while the service runs.

## Rockchip: converting the model

Rockchip's converter is no part of ours, and each of its files is for one chip (RK3566 and RK3568
share theirs). On an x86-64 PC, with `make models` done here and rknn-toolkit2 of the version of
your board's librknnrt.so installed:

    from rknn.api import RKNN
    rknn = RKNN()
    rknn.config(mean_values=[[127.5] * 3], std_values=[[127.5] * 3], target_platform="rk3588")
    rknn.load_onnx("models/out/ssdlite_mobilenet_v2.onnx")
    rknn.build(do_quantization=True, dataset="pictures.txt")  # a list of some hundred pictures
    rknn.export_rknn("ssdlite_mobilenet_v2.rknn")

Then `sha256sum ssdlite_mobilenet_v2.rknn > ssdlite_mobilenet_v2.rknn.sha256`, and on the board
`appliance models fetch ssdlite-mobilenet-v2-rknn --from FOLDER`. Not run by us: the proof on the
golden pictures says whether the result is right.

## Side interpreters

Some vendors' packages stop at an older Python. Install them there and name it:

    [accelerator.options.rknn]
    interpreter = "/opt/rknn/bin/python"

The child in it needs numpy and the vendor's package, nothing of ours; it finds the packages of
that interpreter alone, even where it is the program that runs the appliance. That is the cure for
HailoRT up to 5.1.0, whose binding takes the arrays of numpy 2 for empty:

    [accelerator.options.hailo]
    interpreter = "/usr/bin/python3"

Engines of `onnx`, `tensorrt`, `nano` and `ncs` run from Python 3.6 on, the others from 3.10 on.

## Writing one

One file in `appliance/accelerators/`, or in a package of your own that names it as an entry point
`appliance.accelerators`. It brings `create(options)` and its `Options`, whose fields are what can
be set in `[accelerator.options.<name>]`, each with a default and a sentence. An engine that may run
in a side interpreter lies in a file of its own that imports nothing but numpy, its vendor's package
and `process.tensors`. This one is run by the contract tests
(`tests/test_accelerator_contract.py`), as yours will be:

```python
{example}```
"""


def accelerators_markdown(measured: dict[str, Any], example: str) -> str:
    """Return docs/accelerators.md.

    Args:
        measured: what ``appliance bench --compare ... --json`` printed, with ``command`` and
            ``machine`` beside it.
        example: source of the example accelerator.
    """
    registry = Registry()
    rows = {row["accelerator"]: row for row in measured["compare"]}
    known = sorted(
        (registry.get(name) for name in registry.names),
        key=lambda one: (list(_STATUS).index(one.about.status), one.name),
    )
    lines = [_row(one, rows.get(one.name)) for one in known]
    parity = _listed([f"{name}: {row['parity']}" for name, row in rows.items()])
    introduction = _INTRODUCTION.format(command=measured["command"], machine=measured["machine"])
    return (
        introduction
        + "\n".join(lines)
        + "\n"
        + _REST.format(parity=parity, example=example, evidence=evidence_markdown())
    )


def _row(one: Accelerator, measured: dict[str, Any] | None) -> str:
    about = one.about
    status = _STATUS[about.status] + (f": {about.note}" if about.note else "")
    published = _listed([f"{board} {fps:g}" for board, fps in about.published_fps.items()])
    made = "made for it" if one.target.compiled else ""
    models = f"{_listed(sorted(one.target.formats))} {made}".strip()
    fps = f"{measured['inference_only_fps']:.0f}" if measured else "-"
    cells = (f"`{one.name}`", about.title, about.found_by, about.install, models, status)
    return "| " + " | ".join((*cells, published, fps)) + " |"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "-"
