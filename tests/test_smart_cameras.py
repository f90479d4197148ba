"""Cameras that detect by themselves: JeVois over a pseudo-terminal, IMX500 by contract."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import tty
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import ManualClock
from appliance.config import CameraSettings, Settings
from appliance.config.settings import AcceleratorSettings
from appliance.errors import ConfigError, NotInferredError, SourceLostError, SourceUnavailableError
from appliance.legacy.jevois_lines import parse_line
from appliance.selection.choose import detects_by_itself
from appliance.values import ClockOrigin
from tests.fakes import picamera2_like
from tests.helpers import Subscriber, open_descriptors, source, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.cli.demo_broker import DemoBroker
    from appliance.sources import Source

# --- JeVois: lines


@pytest.mark.parametrize(
    ("line", "label", "score", "box"),
    [
        ("N2 dog 0 0 1000 750", "dog", 1.0, (0.25, 0.25, 0.75, 0.75)),
        ("N2 dog:90.5 -1000 -750 0 0", "dog", 0.905, (0, 0, 0, 0)),
        (
            "D2 traffic_light:50 -500 -375 500 -375 500 375 -500 375 bus:10.0",
            "traffic light",
            0.5,
            (0.25, 0.25, 0.75, 0.75),
        ),
        ("F2 cup 3 0 -750 1000 750 -1000 750", "cup", 1.0, (0, 0, 1, 1)),
        ("00:01:02.345 N2 cat:100 500 0 500 750", "cat", 1.0, (0.625, 0.25, 0.875, 0.75)),
    ],
)
def test_a_message_is_an_object(
    line: str, label: str, score: float, box: tuple[float, ...]
) -> None:
    found = parse_line(line)
    assert found is not None
    assert found.label == label
    assert found.score == pytest.approx(score)
    assert found.box == pytest.approx(box)


@pytest.mark.parametrize(
    "line",
    ["", "INF ready", "ERR no such module", "T2 10 20", "N2", "N2 dog 1 2 3", "N2 dog a b c d",
     "D2 dog 1 2 3 4", "F2 dog 9 1 2", "F2 dog x 1 2", "N2 dog:x 1 2 3 4", "DO cat:90"],
)  # fmt: skip
def test_other_lines_are_no_objects(line: str) -> None:
    assert parse_line(line) is None


@given(st.text(max_size=80))
def test_no_line_breaks_the_parser(line: str) -> None:
    parse_line(line)
    parse_line(f"D2 {line}")
    parse_line(f"F2 cat {line}")


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1280, 1024), (176, 144)])
def test_coordinates_are_divided_by_a_constant_whatever_the_picture(
    width: int, height: int, jevois: JeVois
) -> None:
    """As Coordinates.C does: a box over all of the picture, as the camera itself would say it."""
    camera = source(f"jevois:{jevois.port}", width=width, height=height)
    camera.open()
    jevois.streams()
    jevois.process(
        f"N2 dog 0 0 {jevois.std_width(width, width)} {jevois.std_height(height, height)}"
    )
    frame = camera.read()
    camera.close()
    assert frame is not None
    assert frame.seen is not None
    assert frame.seen.boxes[0].tolist() == pytest.approx((0, 0, 1, 1))


# --- JeVois: the port


class JeVois:
    """The camera's end of the port, with the rules of jevois 1.23 that matter to who listens.

    Sources: src/jevois/Core/Engine.C (setFormatInternal makes the module anew, for ``setmapping2``
    and when a host opens the video), include/jevois/Core/Module.H (serstyle, serstamp and sermark
    are the module's, with their defaults), src/jevois/Core/Module.C (marks and messages carry the
    stamp), src/jevois/Util/Coordinates.C (constant proportion).
    """

    DEFAULTS = types.MappingProxyType({"serstyle": "Terse", "serstamp": "None", "sermark": "None"})
    ASPECT = 4.0 / 3.0

    def __init__(self) -> None:
        self.fd, peer = os.openpty()
        tty.setraw(peer)
        self.port = os.ttyname(peer)
        self._peer = peer
        self.heard = b""
        self._rest = b""
        self.module = dict(self.DEFAULTS)
        self.streaming = False

    def std_width(self, width: float, of: int) -> float:
        return 2000.0 * width / of

    def std_height(self, height: float, of: int) -> float:
        return (1.0 / self.ASPECT) * (2000.0 * height / of)

    def streams(self, **of_the_module: str) -> None:
        """A host opens the video: the module is made anew, then pictures are processed."""
        self.hear("setpar sermark Both\n")
        self.obey()
        self.module.update(of_the_module)
        self.streaming = True

    def host_opens_the_video(self) -> None:
        self.module = dict(self.DEFAULTS)
        self.streaming = True

    def obey(self) -> None:
        """Read what was said until now and do it."""
        self._take()
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in lines:
            words = line.decode().split()
            if words[0] == "setpar" and words[1] in self.module:
                self.module[words[1]] = words[2]
            elif words[0] == "setmapping2":
                self.module = dict(self.DEFAULTS)
            elif words[0] in {"streamon", "streamoff"}:
                self.streaming = words[0] == "streamon"

    def process(self, *messages: str, stamp: str = "12") -> bool:
        """Process one picture as the module is set; say whether marks went out with it."""
        self.obey()
        if not self.streaming:
            return False
        marks = self.module["sermark"] == "Both"
        lines = ["MARK START", *messages, "MARK STOP"] if marks else list(messages)
        if self.module["serstamp"] != "None":
            lines = [f"{stamp} {line}" for line in lines]
        if self.module["serstyle"] == "Detail":
            self.say(*lines)
        else:
            self.say(*[line for line in lines if "MARK" in line])
        return marks

    def say(self, *lines: str) -> None:
        os.write(self.fd, "".join(f"{line}\r\n" for line in lines).encode())

    def hear(self, text: str) -> None:
        def arrived() -> bool:
            self._take()
            return text.encode() in self.heard

        wait_for(arrived, 5, f"the camera to be told {text!r}")

    def _take(self) -> None:
        os.set_blocking(self.fd, False)
        try:
            new = os.read(self.fd, 4096)
            self.heard += new
            self._rest += new
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self.fd, True)

    def close(self) -> None:
        for fd in (self.fd, self._peer):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def jevois() -> Iterator[JeVois]:
    camera = JeVois()
    yield camera
    camera.close()


def test_pictures_are_what_lies_between_the_marks(jevois: JeVois) -> None:
    camera = source(f"jevois:{jevois.port}", width=640, height=480)
    camera.open()
    jevois.hear("setpar sermark Both\n")
    jevois.say(
        "INF: half a picture before we came", "N2 ghost 0 0 10 10", "MARK STOP",
        "MARK START", "N2 dog:80 0 0 1000 750", "junk", "N2 cat:60 0 0 10 10", "MARK STOP",
        "MARK START", "MARK STOP",
    )  # fmt: skip
    first, second = camera.read(), camera.read()
    assert first is not None
    assert second is not None
    assert first.seen is not None
    assert second.seen is not None
    assert first.seen.names == ("dog", "cat")
    assert first.seen.scores.tolist() == pytest.approx([0.8, 0.6])
    assert first.seen.accelerator == "jevois"
    assert second.seen.names == ()  # processed, and nothing was there
    assert (first.seq, second.seq) == (0, 1)
    camera.close()


def test_the_stream_is_started_and_stopped(jevois: JeVois) -> None:
    """With ``mapping`` marks come, although that command makes the camera forget its settings."""
    mapping = "YUYV 640 480 20.0 JeVois DarknetYOLO"
    camera = source(f"jevois:{jevois.port}", options={"mapping": mapping})
    camera.open()
    jevois.hear("streamon\n")
    assert f"setmapping2 {mapping}\n".encode() in jevois.heard
    assert jevois.process("N2 dog:80 0 0 1000 750")
    frame = camera.read()
    assert frame is not None
    assert frame.seen is not None
    assert frame.seen.names == ("dog",)
    camera.close()
    jevois.hear("streamoff\n")


def test_a_host_that_opens_the_video_later_costs_a_moment(
    jevois: JeVois, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the module anew, without our settings: the camera is told again."""
    monkeypatch.setattr("appliance.legacy.jevois_camera.AGAIN_SECONDS", 0.05)
    camera = source(f"jevois:{jevois.port}")
    camera.open()
    jevois.hear("setpar sermark Both\n")
    jevois.obey()
    jevois.host_opens_the_video()
    assert not jevois.process("N2 dog:80 0 0 1000 750")
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.01):
            jevois.process("N2 dog:80 0 0 1000 750")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        frame = camera.read()
    finally:
        done.set()
        thread.join(10)
    camera.close()
    assert frame is not None
    assert frame.seen is not None
    assert frame.seen.names == ("dog",)


def test_a_camera_that_speaks_without_marks_is_lost(
    jevois: JeVois, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.legacy.jevois_camera.SILENCE_SECONDS", 0.2)
    camera = source(f"jevois:{jevois.port}")
    camera.open()
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.001):
            jevois.say("T2 10 20")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with pytest.raises(SourceLostError, match="says nothing"):
            camera.read()
    finally:
        done.set()
        thread.join(10)
        camera.close()


@pytest.mark.parametrize("stamp", ["12", "12:30:01", "12/12:30:01", "12/2026-11-25/12:30:01"])
def test_marks_with_a_stamp_are_marks(stamp: str, jevois: JeVois) -> None:
    """As a module sends whose serstamp cannot be set, or was set by somebody else since."""
    camera = source(f"jevois:{jevois.port}")
    camera.open()
    jevois.hear("setpar serstamp None\n")
    jevois.streams(serstamp="Frame")
    assert jevois.process("N2 dog:80 0 0 1000 750", stamp=stamp)
    frame = camera.read()
    camera.close()
    assert frame is not None
    assert frame.seen is not None
    assert frame.seen.names == ("dog",)


def test_silence_and_absence_are_losses(
    jevois: JeVois, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("appliance.legacy.jevois_camera.SILENCE_SECONDS", 0.1)
    camera = source(f"jevois:{jevois.port}")
    camera.open()
    with pytest.raises(SourceLostError, match=r"says nothing.*while it streams"):
        camera.read()
    jevois.close()
    with pytest.raises(SourceLostError, match="is gone"):
        camera.read()
    camera.close()
    with pytest.raises(SourceUnavailableError, match="dialout"):
        source(f"jevois:{tmp_path}/none").open()
    (tmp_path / "file").touch()
    with pytest.raises(SourceUnavailableError, match="cannot be opened"):
        source(f"jevois:{tmp_path}/file").open()


# --- IMX500


class Intrinsics:
    """Follows NetworkIntrinsics of picamera2 0.3.38: a property is None where not said."""

    def __init__(self, **said: Any) -> None:
        self.task: str | None = said.get("task", "object detection")
        self.postprocess: str | None = said.get("postprocess")
        self.labels: list[str] | None = said.get("labels", ["person", "-", "cat"])
        self.bbox_normalization: bool | None = True
        self.bbox_order: str | None = "xy"
        self.ignore_dash_labels: bool | None = said.get("ignore_dash_labels")


class FakeImx500:
    """Follows picamera2.devices.IMX500 of 0.3.38 (devices/imx500/imx500.py).

    As there: the constructor raises what its parts raise (StopIteration where libcamera does not
    list the sensor, FileNotFoundError where there is no sudo); a network without post-processing
    gives the tensors it has, one or many; a network file may carry no intrinsics at all.
    """

    made: tuple[str, ...] = ()
    as_tuple = False
    broken: Exception | None = None
    intrinsics: Intrinsics | None = Intrinsics()
    outputs: int | None = None

    def __init__(self, network_file: str) -> None:
        broken = type(self).broken
        if broken is not None:
            raise broken
        type(self).made = (network_file,)
        self.camera_num = 0
        self.network_intrinsics = type(self).intrinsics

    def get_outputs(self, metadata: dict[str, Any], *, add_batch: bool) -> list[Any] | None:
        flat = metadata.get("CnnOutputTensor")
        if not flat:
            return None
        values = np.asarray(flat, np.float32)
        n = (len(values) - 1) // 6
        # Boxes lie column by column: all of the first coordinate, then all of the second, ...
        parts = [values[: 4 * n].reshape((n, 4), order="F"), values[4 * n : 5 * n],
                 values[5 * n : 6 * n], values[6 * n :]]  # fmt: skip
        parts = parts[: type(self).outputs]
        return [part[None] for part in parts] if add_batch else parts

    def get_input_size(self) -> tuple[int, int]:
        return (320, 320)

    def convert_inference_coords(self, coords: Any, metadata: Any, camera: Any) -> Any:
        y0, x0, y1, x1 = coords
        width, height = camera.camera_configuration()["main"]["size"]
        box = (x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height)
        if type(self).as_tuple:
            return box
        return types.SimpleNamespace(**dict(zip(("x", "y", "width", "height"), box, strict=True)))


# Two boxes, x0 first and in pixels of 320: x0, x0, y0, y0, x1, x1, y1, y1, scores, classes, count.
TENSOR = [32.0, 0, 64, 0, 160, 320, 192, 320, 0.9, 0.4, 2, 0, 2]


def frames_with(*tensors: list[float] | None) -> list[dict[str, Any]]:
    return [{"CnnOutputTensor": tensor} if tensor else {} for tensor in tensors]


@pytest.fixture
def ai_camera(monkeypatch: pytest.MonkeyPatch) -> type[picamera2_like.Picamera2]:
    """The camera with the sensor, as picamera2 opens it."""
    kind = picamera2_like.fresh()
    monkeypatch.setattr(FakeImx500, "made", ())
    made = kind.__init__

    def after_the_network(self: Any, number: int) -> None:
        assert FakeImx500.made, "the network must be loaded before the camera is made"
        made(self, number)

    monkeypatch.setattr(kind, "__init__", after_the_network)
    return kind


@pytest.fixture
def network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ai_camera: type[picamera2_like.Picamera2]
) -> Path:
    devices = types.ModuleType("picamera2.devices")
    devices.IMX500 = FakeImx500  # type: ignore[attr-defined]
    package = types.ModuleType("picamera2")
    package.Picamera2 = ai_camera  # type: ignore[attr-defined]
    package.devices = devices  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", package)
    monkeypatch.setitem(sys.modules, "picamera2.devices", devices)
    path = tmp_path / "ssd.rpk"
    path.write_bytes(b"rpk")
    return path


@pytest.mark.parametrize("as_tuple", [False, True])
def test_tensors_become_detections(
    network: Path,
    ai_camera: type[picamera2_like.Picamera2],
    monkeypatch: pytest.MonkeyPatch,
    *,
    as_tuple: bool,
) -> None:
    ai_camera.script = frames_with(None, TENSOR)
    monkeypatch.setattr(FakeImx500, "as_tuple", as_tuple)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    camera.open()
    frame = camera.read()
    assert frame is not None
    assert frame.seen is not None
    assert frame.seen.names == ("cat", "person")
    assert frame.seen.scores.tolist() == pytest.approx([0.9, 0.4])
    assert frame.seen.boxes[0].tolist() == pytest.approx([0.1, 0.2, 0.5, 0.6])
    assert frame.seen.boxes[1].tolist() == pytest.approx([0, 0, 1, 1])
    assert (frame.seen.accelerator, frame.seen.model_id) == ("imx500", "ssd")
    assert frame.origin is ClockOrigin.READ  # the fake gives no sensor stamp
    frame.release()
    camera.close()
    assert [request.released for request in ai_camera.made[0].requests] == [1, 1]


def test_beside_another_camera_the_ai_camera_is_the_one_that_is_opened(
    network: Path, ai_camera: type[picamera2_like.Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor is known by libcamera's number, ``Picamera2(n)`` counts in an order of its own."""
    listed = [{"Model": "imx708", "Num": 1}, {"Model": "imx500", "Num": 0}]
    monkeypatch.setattr(ai_camera, "global_camera_info", staticmethod(lambda: listed))
    ai_camera.script = frames_with(None)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    camera.open()
    camera.close()
    assert ai_camera.made[0].number == 1


def test_no_tensor_is_not_nothing_seen(
    network: Path, ai_camera: type[picamera2_like.Picamera2]
) -> None:
    ai_camera.script = frames_with(None, None, TENSOR)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    camera.open()
    with pytest.raises(NotInferredError):
        camera.read()
    assert camera.read() is not None
    with pytest.raises(SourceLostError):
        camera.read()
    assert all(request.released for request in ai_camera.made[0].requests[:2])
    camera.close()


def test_an_ai_camera_that_falls_silent_is_closed_and_opened_again(
    network: Path, ai_camera: type[picamera2_like.Picamera2]
) -> None:
    ai_camera.script = frames_with(None, TENSOR)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    camera.open()
    assert camera.read() is not None
    with pytest.raises(SourceLostError, match="stopped delivering"):
        camera.read()
    closing = threading.Thread(target=camera.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive(), "close() hangs behind the job that timed out"
    ai_camera.script = frames_with(None, TENSOR)
    camera.open()
    assert camera.read() is not None
    camera.close()


def test_an_ai_camera_without_a_first_frame_is_refused_and_closed(
    network: Path, ai_camera: type[picamera2_like.Picamera2]
) -> None:
    ai_camera.script = []
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    opening = threading.Thread(target=refused, args=(camera,), daemon=True)
    opening.start()
    opening.join(10)
    assert not opening.is_alive(), "close() hangs behind the job that timed out"
    assert ai_camera.made[0].calls == ["stop", "close"]


def refused(camera: Source) -> None:
    with pytest.raises(SourceUnavailableError, match="TimeoutError"):
        camera.open()


@pytest.mark.parametrize("place", ["acquire", "configure", "start"])
def test_an_ai_camera_that_cannot_be_opened_leaves_nothing(
    network: Path, ai_camera: type[picamera2_like.Picamera2], place: str
) -> None:
    ai_camera.fails = place
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    before = open_descriptors()
    for _ in range(100):
        with pytest.raises(SourceUnavailableError, match="cannot be started"):
            camera.open()
    assert open_descriptors() <= before
    assert not any(one.acquired for one in ai_camera.made)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"task": "classification"}, "ssd.rpk is a network for classification"),
        ({"task": "segmentation"}, "ssd.rpk is a network for segmentation"),
        ({"postprocess": "nanodet"}, r"outside the sensor \(nanodet\).*_pp"),
    ],
)
def test_a_network_that_gives_something_else_is_refused(
    said: dict[str, str], reason: str, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeImx500, "intrinsics", Intrinsics(**said))
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    with pytest.raises(SourceUnavailableError, match=reason):
        camera.open()


@pytest.mark.parametrize("outputs", [1, 2])
def test_outputs_that_are_no_boxes_end_the_camera_in_words(
    outputs: int,
    network: Path,
    ai_camera: type[picamera2_like.Picamera2],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network whose description says nothing: nanodet without _pp gives one tensor."""
    monkeypatch.setattr(FakeImx500, "intrinsics", None)
    monkeypatch.setattr(FakeImx500, "outputs", outputs)
    ai_camera.script = frames_with(None, TENSOR)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    camera.open()
    with pytest.raises(SourceLostError, match=rf"gives {outputs} outputs.*_pp"):
        camera.read()
    assert all(request.released for request in ai_camera.made[0].requests)
    camera.close()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (StopIteration(), "libcamera does not list it"),
        (FileNotFoundError(2, "No such file or directory", "sudo"), "apt install sudo"),
        (RuntimeError("IMX500: Requested camera dev-node not found"), "AI Camera connected"),
        (ValueError("not enough values to unpack"), "not enough values"),
        (KeyError(), "KeyError"),
    ],
)
def test_whatever_opening_raises_becomes_words(
    broken: Exception, said: str, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeImx500, "broken", broken)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    with pytest.raises(SourceUnavailableError, match=said):
        camera.open()


@pytest.mark.parametrize("intrinsics", [None, Intrinsics(labels=None)])
def test_a_network_without_labels_takes_cocos_and_says_so(
    intrinsics: Intrinsics | None,
    network: Path,
    ai_camera: type[picamera2_like.Picamera2],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As picamera2's own example does: class 0 is a person, 16 a cat, 11 has no name."""
    monkeypatch.setattr(FakeImx500, "intrinsics", intrinsics)
    tensor = [*[0.1] * 6, *[0.5] * 6, 0.9, 0.8, 0.7, 0, 16, 11, 3]
    ai_camera.script = frames_with(None, tensor)
    camera = source("imx500", ManualClock(), options={"network": str(network)})
    camera.open()
    frame = camera.read()
    camera.close()
    assert frame is not None
    assert frame.seen is not None
    assert frame.seen.names == ("person", "cat", "class_11")
    assert "ssd.rpk carries no labels, COCO's are taken" in caplog.text


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="apt install imx500-all"):
        source("imx500", options={"network": str(tmp_path / "none.rpk")}).open()
    (tmp_path / "net.rpk").touch()
    with pytest.raises(SourceUnavailableError, match="python3-picamera2"):
        source("imx500", options={"network": str(tmp_path / "net.rpk")}).open()


# --- in a unit


def test_such_cameras_cannot_be_turned() -> None:
    with pytest.raises(ConfigError, match="turn the camera"):
        source("imx500", rotation=180)


def test_their_accelerator_needs_their_camera() -> None:
    settings = Settings(
        accelerator=AcceleratorSettings(name="imx500"), camera=(CameraSettings(source="synthetic"),)
    )
    with pytest.raises(ConfigError, match="every camera's source must be imx500, got synthetic"):
        detects_by_itself(settings)


def test_a_unit_passes_their_detections_on(
    broker: DemoBroker, jevois: JeVois, tmp_path: Path
) -> None:
    from appliance.cli import main

    subscriber = Subscriber(broker.port)
    config = tmp_path / "appliance.toml"
    config.write_text(
        f'device = "unit-{os.getpid()}"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        f'[[camera]]\nname = "front"\nsource = "jevois:{jevois.port}"\nwidth = 640\nheight = 480\n'
    )
    speaking = threading.Event()

    def speak() -> None:
        jevois.hear("setpar sermark Both\n")
        while not speaking.wait(0.05):
            jevois.say("MARK START", "N2 dog:80 0 0 1000 750", "N2 gnome:70 0 0 10 10", "MARK STOP")

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        assert main(["run", "--config", str(config), "--frames", "5"]) == 0
    finally:
        speaking.set()
        thread.join(10)
    wait_for(lambda: len(subscriber.of("front/detections")) >= 5)
    message = subscriber.of("front/detections")[0]
    subscriber.close()
    assert message["accelerator"] == "jevois"
    assert [(one["label"], one["label_id"]) for one in message["detections"]] == [
        ("dog", 18),
        ("gnome", 1000),
    ]
    assert message["detections"][0]["box"] == {"x": 0.25, "y": 0.25, "w": 0.5, "h": 0.5}
