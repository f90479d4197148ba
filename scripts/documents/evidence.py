"""What was real in each test of a vendor's interface, and what a stand-in took from its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of the documentation.

    Attributes:
        subject: accelerator, camera or file.
        real: what ran as its vendor ships it.
        followed: what a stand-in follows, with the file and version it was read in.
        never: what no test of ours has run.
    """

    subject: str
    real: str
    followed: str
    never: str


EVIDENCE = (
    Evidence(
        "`hailo`: calls, buffers, HEFs",
        "our numpy and the child process; pybind11 2.10.1 and 2.13.6, which HailoRT's bindings are "
        "built with: what a binding compiled in the test sees of our arrays, and of numpy 1's",
        "hailort 4.23 pyhailort.py (texts, names), infer_model.cpp (sizes), hef.cpp (which chip "
        "runs which HEF)",
        "libhailort, a chip, Raspberry Pi's build for trixie, a 10H with a HEF",
    ),
    Evidence(
        "`rknn`: calls, cores, files and their refusal",
        "rknn-toolkit-lite2 2.5.0 rknn_lite.py; the child process and its last words",
        "the names and arguments by which rknn_lite.py calls its compiled parts (arm64 only); "
        "texts of librknnrt.so as its users report them; the file's layout from two independent "
        "readers of it",
        "librknnrt.so, the converter, a file that it made",
    ),
    Evidence(
        "`teflon`, `vx`: what a delegate takes",
        "LiteRT, both published per-tensor models and the bundled one",
        "Mesa's tfl_device.c, rkt_ml.c (one scale for each tensor), in a delegate compiled in "
        "the test",
        "libteflon.so, libvx_delegate.so, Coral's per-tensor model on an NPU",
    ),
    Evidence(
        "`edgetpu`",
        "LiteRT, a model compiled for it",
        "libedgetpu's options, failure texts and both layouts of TfLiteRegistration",
        "libedgetpu, a Coral",
    ),
    Evidence(
        "`jevois`: messages, marks, the module's lifetime",
        "a pseudo-terminal of the kernel",
        "jevois 1.23 Engine.C, Module.C, Module.H, Coordinates.C",
        "a camera",
    ),
    Evidence(
        "`imx500`: networks, labels, boxes, which camera is opened, failures to open",
        "picamera2 0.3.38 with its IMX500 and NetworkIntrinsics, libcamera 0.4.0's geometry and "
        "a virtual camera (tests/e2e/vendors.sh)",
        "what picamera2 0.3.38 devices/imx500/imx500.py asks of the sub-device and of a network "
        "file, and how tensors lie in a frame's metadata",
        "a sensor, its network files",
    ),
    Evidence(
        "the service's device list",
        "the unit file and the udev rules",
        "systemd 247 to 257 bpf-devices.c; names from the drivers' sources: hailort-drivers 4.20 "
        "to 5.3, gasket, galcore, nvgpu, Raspberry Pi's vcio, Linux",
        "a service that opens such a node",
    ),
    Evidence(
        "`ncs`",
        "OpenVINO 2022.3 on its CPU plugin, where a side interpreter is installed",
        "the API of OpenVINO 2020.3",
        "a stick",
    ),
    Evidence("`tensorrt`", "onnxruntime without a GPU", "-", "CUDA, TensorRT, a Jetson"),
)


def evidence_markdown() -> str:
    """Return the table."""
    rows = [f"| {e.subject} | {e.real} | {e.followed} | {e.never} |" for e in EVIDENCE]
    head = "| what | real in its test | a stand-in follows | never run by us |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"
