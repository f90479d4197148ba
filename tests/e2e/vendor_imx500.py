"""Our AI Camera source on picamera2's real IMX500 and NetworkIntrinsics classes, case by case.

Runs inside the root that vendors.sh makes. Real are the classes, the check of what a network says
of itself, the geometry (libcamera's), and picamera2 with a virtual camera, which libcamera lists
under the model's name. In place of the sensor stand: its sub-device (links as the kernel makes
them, a file for the node, calls that succeed), the network file (laid here: a firmware block and a
cpio archive), the tensors among a frame's metadata, the picture in memory. OpenEXR, which no case
uses, and libarchive, which is not in the root, are stood in for.

Usage: python3 -m tests.e2e.vendor_imx500 [CASE]
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import struct
import sys
import tempfile
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.errors import NotInferredError, SourceLostError, SourceUnavailableError
from tests.e2e.picamera2_pattern import prepare
from tests.e2e.vendor_cameras import Laid, camera, colourful, frame_of, main, raises, rgb_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.sources import Source

NAME = "Virtual1"
"""The camera that says that it is an IMX500 (vendors.sh)."""
SIZE = (640, 480)
INPUT = 320
FULL, BINNED = (4056, 3040), (2028, 1520)
CROP = (0, 380, 4056, 2280)
"""What a 16:9 picture shows of the sensor, in pixels of it."""
DETECTION = {
    "task": "object detection",
    "classes": {"labels": ["person", "-", "cat"]},
    "cpu": {"bbox_normalization": True, "bbox_order": "xy"},
}
NETWORK_INFO = f"""\
networkID=000001
apParamSize=1
networkNum=1
networkOrdinal=0
inputTensorWidth={INPUT}
inputTensorHeight={INPUT}
inputTensorFormat=RGB
"""
NORMS = "".join(
    f"inputTensorNorm_K{place}=0x1\n" for place in ("03", "13", "23", "00", "22", "02", "20", "11")
)


class Entry:
    def __init__(self, name: str, content: bytes) -> None:
        self._name, self._content = name, content

    def __str__(self) -> str:
        return self._name

    def get_blocks(self) -> Iterator[bytes]:
        yield self._content


@contextlib.contextmanager
def fd_reader(fd: int) -> Iterator[Iterator[Entry]]:
    """Read a cpio archive (newc) as libarchive does, from where the file stands."""

    def entries() -> Iterator[Entry]:
        while True:
            header = os.read(fd, 110)
            size, length = int(header[54:62], 16), int(header[94:102], 16)
            name = os.read(fd, length + -(110 + length) % 4)[: length - 1].decode()
            content = os.read(fd, size + -size % 4)[:size]
            if name == "TRAILER!!!":
                return
            yield Entry(name, content)

    yield entries()


def cpio(**files: bytes) -> bytes:
    parts = []
    for name, content in {**files, "TRAILER!!!": b""}.items():
        fields = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts += [head + bytes(-len(head) % 4), content + bytes(-len(content) % 4)]
    return b"".join(parts)


def network(intrinsics: dict[str, Any] | None) -> Path:
    """Write a network file: a block of firmware, then what it says of itself."""
    files = {"network_info.txt": (NETWORK_INFO + NORMS).encode()}
    if intrinsics is not None:
        files["network_intrinsics"] = json.dumps(intrinsics).encode()
    firmware = b"9464" + struct.pack(">I", 64) + bytes(64 + 60 - 8) + b"3695"
    path = Path(tempfile.mkdtemp(), "ssd_pp.rpk")
    path.write_bytes(firmware + cpio(**files))
    return path


class Sensor:
    """What the kernel and libcamera have of the sensor."""

    def __init__(self, listed_as: str = NAME) -> None:
        self.picamera2 = prepare()
        for name in ("libarchive", "libarchive.read"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["libarchive.read"].fd_reader = fd_reader  # type: ignore[attr-defined]
        from picamera2.devices.imx500 import imx500

        self.module = imx500
        self.calls: list[int] = []
        self.metadata: list[dict[str, Any]] = []
        """Of the frames to come; the last one for all that follow."""
        self._lay_links(listed_as)
        imx500.os = _Rooted(self._root)
        imx500.fcntl = types.SimpleNamespace(
            ioctl=lambda _fd, number, _what: self.calls.append(number)
        )
        self._deliver()

    def _lay_links(self, listed_as: str) -> None:
        self._root = Path(tempfile.mkdtemp())
        device = self._root / "sys/devices/10-001a"
        subdevice = self._root / "sys/class/video4linux/v4l-subdev0"
        module = self._root / "sys/module/imx500"
        for folder in (device / "driver", subdevice, module):
            folder.mkdir(parents=True)
        (device / "driver/module").symlink_to(module)
        (device / "of_node").symlink_to(f"/sys/firmware/devicetree/base/axi/i2c@88000/{listed_as}")
        (subdevice / "device").symlink_to(device)
        Path("/dev/v4l-subdev0").touch()

    def _deliver(self) -> None:
        self._laid = Laid(self.picamera2)
        self.picture = colourful(*SIZE)
        self._laid.put("RGB888", self.picture, "pisp")
        configure = self.picamera2.Picamera2.configure
        get_metadata = self.picamera2.CompletedRequest.get_metadata

        def with_a_raw_stream(camera: Any, *words: Any) -> Any:
            result = configure(camera, *words)
            camera.camera_config["raw"] = {"size": BINNED}
            return result

        def with_tensors(request: Any) -> dict[str, Any]:
            told = self.metadata.pop(0) if len(self.metadata) > 1 else self.metadata[0]
            got: dict[str, Any] = get_metadata(request)
            return got | told

        self.picamera2.Picamera2.configure = with_a_raw_stream
        self.picamera2.CompletedRequest.get_metadata = with_tensors

    def frame(self, *tensors: Any) -> dict[str, Any]:
        """Return the metadata of a frame with these outputs of the network."""
        told = self.module.CnnOutputTensorInfoExported()
        told.network_name, told.num_tensors = b"ssd", len(tensors)
        values: list[float] = []
        for place, tensor in zip(told.info, tensors, strict=False):
            array = np.asarray(tensor, np.float32)
            place.tensor_data_num, place.num_dimensions = array.size, array.ndim
            place.size[: array.ndim] = list(array.shape)
            values += array.reshape(-1, order="F").tolist()
        size = ctypes.sizeof(told)
        return {
            "CnnOutputTensor": tuple(values),
            "CnnOutputTensorInfo": tuple(ctypes.string_at(ctypes.addressof(told), size)),
            "ScalerCrop": CROP,
        }


class _Rooted:
    """The module os, whose /sys is ours."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.path = types.SimpleNamespace(
            exists=lambda path: self._at(path).exists(),
            islink=lambda path: self._at(path).is_symlink(),
            isfile=os.path.isfile,
            abspath=os.path.abspath,
        )

    def readlink(self, path: str) -> str:
        return str(self._at(path).readlink())

    def _at(self, path: str) -> Path:
        return Path(f"{self._root}{path}" if path.startswith("/sys/") else path)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def refusing_sudo() -> None:
    """Put a sudo into the root that grants nothing, as on a system that asks for a password."""
    folder = Path(tempfile.mkdtemp())
    (folder / "sudo").write_text("#!/bin/sh\nexit 1\n")
    (folder / "sudo").chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


def ai_camera(intrinsics: dict[str, Any] | None) -> Source:
    width, height = SIZE
    options = {"network": str(network(intrinsics)), "frame_timeout_seconds": 5.0}
    return camera("imx500", width=width, height=height, options=options)


def boxes_labels_and_the_picture_are_those_of_the_sensor() -> None:
    """And of the right camera: the classes' number is not the one that Picamera2() counts by."""
    refusing_sudo()
    sensor = Sensor()
    # x0, y0, x1, y1 in pixels of the network's input, as bbox_order and bbox_normalization say.
    boxes = [[32, 64, 160, 192], [0, 40, 320, 280]]
    seen = sensor.frame(boxes, [0.9, 0.4], [2, 0], [2])
    sensor.metadata = [{"ScalerCrop": CROP}, seen]
    source = ai_camera(DETECTION)
    source.open()
    opened = source._camera.camera.id  # type: ignore[attr-defined]
    assert opened == NAME, f"the sensor is {NAME}, opened was {opened}"
    assert sensor.module.VIDIOC_S_CTRL in sensor.calls, "no network was loaded"
    raises(NotInferredError, "no result", source.read)
    frame = frame_of(source)
    assert (rgb_of(frame)[:, :, ::-1] == sensor.picture).all(), "not the picture"
    assert frame.seen is not None
    assert frame.seen.names == ("cat", "person"), frame.seen.names
    shown = CROP[3] / FULL[1]
    top = CROP[1] / FULL[1]
    wanted = [[x0 / INPUT, (y0 / INPUT - top) / shown, x1 / INPUT, (y1 / INPUT - top) / shown]
              for x0, y0, x1, y1 in boxes]  # fmt: skip
    off = np.abs(frame.seen.boxes - np.array(wanted)).max()
    assert off < 0.005, f"boxes {frame.seen.boxes.tolist()}, wanted {wanted}"  # whole pixels
    frame.release()
    source.close()


def networks_that_give_something_else_are_refused() -> None:
    refusing_sudo()
    sensor = Sensor()
    sensor.metadata = [sensor.frame(np.zeros((10, 84)))]
    for said, words in (
        ({"task": "classification"}, "is a network for classification"),
        ({"task": "segmentation"}, "is a network for segmentation"),
        ({**DETECTION, "cpu": {"post_processing": "nanodet"}}, "outside the sensor .nanodet"),
        ({"task": "guessing"}, "cannot be started"),
    ):
        raises(SourceUnavailableError, words, ai_camera(said).open)
    source = ai_camera(None)  # says nothing of itself: it shows in the first frame
    source.open()
    raises(SourceLostError, "gives 1 outputs", source.read)
    source.close()


def labels_that_the_network_does_not_carry_are_those_of_coco() -> None:
    refusing_sudo()
    sensor = Sensor()
    sensor.metadata = [sensor.frame([[0, 0, 1, 1]], [0.9], [16], [1])]
    source = ai_camera(None)
    source.open()
    frame = frame_of(source)
    assert frame.seen is not None
    assert frame.seen.names == ("cat",), frame.seen.names
    frame.release()
    source.close()


def a_sensor_that_libcamera_does_not_list_is_said_in_words() -> None:
    refusing_sudo()
    Sensor(listed_as="imx500@1a")
    raises(SourceUnavailableError, "libcamera does not list it", ai_camera(DETECTION).open)


def a_system_without_sudo_is_said_in_words() -> None:
    """The root has none: how far the network is loaded is asked through it."""
    Sensor()
    raises(
        SourceUnavailableError, "through sudo, which is not installed", ai_camera(DETECTION).open
    )


def no_sensor_at_all_is_said_in_words() -> None:
    Sensor().module.os = os
    raises(SourceUnavailableError, "dev-node not found", ai_camera(DETECTION).open)


CASES: tuple[Callable[[], None], ...] = (
    boxes_labels_and_the_picture_are_those_of_the_sensor,
    networks_that_give_something_else_are_refused,
    labels_that_the_network_does_not_carry_are_those_of_coco,
    a_sensor_that_libcamera_does_not_list_is_said_in_words,
    a_system_without_sudo_is_said_in_words,
    no_sensor_at_all_is_said_in_words,
)


if __name__ == "__main__":
    main(CASES, "tests.e2e.vendor_imx500")
