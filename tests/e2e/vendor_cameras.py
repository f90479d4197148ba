"""Our sources on the real picamera2 and the real libcamera, case by case.

Runs inside the root that vendors.sh makes, each case in a process of its own: a hang is a failure
of that case. Real are picamera2 with its threads, its line of jobs, its requests and helpers, and
libcamera with its Python binding, its one queue and two virtual cameras. Where a case needs what a
virtual camera has not (padding, a cable to pull), it says what it puts in its place.

Usage: python3 -m tests.e2e.vendor_cameras [CASE ...]
"""

from __future__ import annotations

import io
import logging
import mmap
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from appliance.clock import SystemClock
from appliance.config import CameraSettings
from appliance.config.settings import Controls
from appliance.errors import ApplianceError, SourceLostError, SourceUnavailableError
from appliance.sources import create_source
from appliance.values import Frame, PixelFormat
from appliance.vision.preprocess import Preprocessor, View
from tests.e2e.picamera2_pattern import prepare
from tests.packing import ALIGNMENT, lay, planes_of, stride_of, tight

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.sources import Source
    from appliance.values import Pixels

SIZES = {"Virtual0": (640, 480), "Virtual1": (1280, 720)}
CASE_SECONDS = 60
CLOSE_SECONDS = 10
ATTEMPTS = 50
JPEG_LOSS = 3
TO_RGB = {
    "YUV420": cv2.COLOR_YUV2RGB_I420,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
    "RGB888": cv2.COLOR_BGR2RGB,
    "XRGB8888": cv2.COLOR_BGR2RGB,
    "BGR888": None,
}


def camera(source: str, name: str = "Virtual0", **settings: Any) -> Source:
    width, height = SIZES[name]
    options = settings.pop("options", {"frame_timeout_seconds": 5.0})
    words = {"width": width, "height": height, "fps": 30, "options": options} | settings
    return create_source(
        CameraSettings(source=source, **words), input_size=(320, 320), clock=SystemClock()
    )


def frame_of(source: Source) -> Frame:
    frame = source.read()
    assert frame is not None
    return frame


def rgb_of(frame: Frame) -> Pixels:
    """Return what a model of the frame's own size would see."""
    out = np.empty((frame.height, frame.width, 3), np.uint8)
    Preprocessor(View(), frame.width, frame.height).run(frame, out)
    return out


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def number_of(picamera2: Any, name: str) -> int:
    infos = picamera2.Picamera2.global_camera_info()
    return next(number for number, info in enumerate(infos) if info["Id"] == name)


def colourful(width: int, height: int) -> Pixels:
    """Return a picture whose colours differ everywhere: any shear of its planes shows."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    blue, green, red = x, y, (1 - x) * (1 - y)
    return np.round(np.dstack([blue, green, red]) * 255).astype(np.uint8)


class Laid:
    """Memory as an image processor of a Raspberry Pi lays it, under picamera2's own helpers.

    The virtual camera pads nothing. So the description of the stream and the memory that
    picamera2's allocator maps are ours (tests/packing.py, after libpisp); the rest is picamera2's.
    """

    def __init__(self, picamera2: Any) -> None:
        self.stream = "main"
        self._told: dict[str, Any] = {}
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        configure = picamera2.Picamera2.configure
        laid = self

        def described_by_us(self: Any, *words: Any) -> Any:
            result = configure(self, *words)
            self.camera_config[laid.stream] |= laid._told
            self.allocator.sync = lambda *_: laid
            return result

        picamera2.Picamera2.configure = described_by_us

    def put(self, pixel_format: str, picture: Pixels, chip: str) -> None:
        height, width = picture.shape[:2]
        stride = stride_of(pixel_format, width, chip)
        content = lay(pixel_format, picture, stride)
        self._memory = mmap.mmap(-1, len(content))
        self._memory[:] = content
        self._told = {"format": pixel_format, "size": (width, height), "stride": stride}

    def __enter__(self) -> mmap.mmap:
        return self._memory

    def __exit__(self, *_: object) -> None:
        """Nothing: every request reads the same memory."""


def difference(jpeg: bytes, pixel_format: str, picture: Pixels) -> float:
    """Return by how much the planes of a JPEG differ from those of a picture, in the mean."""
    read = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert read is not None
    if pixel_format not in {"YUV420", "NV12"}:
        return float(np.abs(read.astype(int) - picture).mean())
    # Its planes are the camera's, whatever colours a reader makes of them.
    turned = cv2.cvtColor(read, cv2.COLOR_BGR2YCrCb).astype(int)
    planes = (turned[:, :, 0], turned[::2, ::2, 2], turned[::2, ::2, 1])
    pairs = zip(planes, planes_of(picture), strict=True)
    return max(float(np.abs(one - other).mean()) for one, other in pairs)


def padded_rows_have_the_right_colours() -> None:
    picamera2 = prepare()
    laid = Laid(picamera2)
    for stream in ("lores", "main"):
        laid.stream = stream
        source = camera("picamera2", options={"lores": stream == "lores"})
        shown = 0
        for chip in ALIGNMENT:
            for pixel_format, conversion in TO_RGB.items():
                for width, height in ((300, 300), (320, 320), (322, 242), (640, 480)):
                    picture = colourful(width, height)
                    told = f"{stream} {pixel_format} {width}x{height} {chip}"
                    laid.put(pixel_format, picture, chip)
                    source.open()
                    frame = frame_of(source)
                    got = rgb_of(frame)
                    request = source._camera.capture_request(wait=5)  # type: ignore[attr-defined]
                    file = io.BytesIO()
                    request.save(stream, file, format="jpeg")
                    request.release()
                    frame.release()
                    source.close()

                    planes = tight(pixel_format, picture)
                    wanted = planes[0]
                    if len(planes) > 1:
                        packed = np.concatenate([plane.ravel() for plane in planes])
                        wanted = packed.reshape(height * 3 // 2, width)
                    if conversion is not None:
                        wanted = cv2.cvtColor(wanted, conversion).astype(np.uint8)
                    assert (got == wanted).all(), f"{told}: not the picture"
                    off = difference(file.getvalue(), pixel_format, picture)
                    assert off < JPEG_LOSS, f"{told}: picamera2's own JPEG differs by {off:.1f}"
                    shown += 1
        print(
            f"   {stream}: {shown} layouts, each to the pixel, and as picamera2's own JPEG has it"
        )


def a_camera_whose_completions_stay_out_is_lost_closed_and_opened_again() -> None:
    """What is withheld is what libcamera has completed; all that waits for it is picamera2's."""
    picamera2 = prepare()
    silent = threading.Event()
    kind = type(picamera2.Picamera2._cm)
    handle = kind.handle_request

    def withheld(self: Any, flushid: int | None = None) -> None:
        if silent.is_set():
            self.cms.get_ready_requests()
        else:
            handle(self, flushid)

    kind.handle_request = withheld
    source = camera("picamera2", options={"lores": False, "frame_timeout_seconds": 1.0})
    for _ in range(3):
        source.open()
        held = frame_of(source)
        silent.set()
        raises(SourceLostError, "stopped delivering", lambda: exhaust(source))
        closing = threading.Thread(target=source.close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        assert not closing.is_alive(), "close() hangs behind the job that timed out"
        silent.clear()
        source.open()
        frame_of(source).release()
        held.release()
        frame_of(source).release()
        source.close()


def exhaust(source: Source) -> None:
    """Read until the camera is lost: a few frames had been delivered already."""
    for _ in range(20):
        frame_of(source).release()


def fifty_openings_of_a_camera_that_is_held_leave_no_descriptor() -> None:
    """Held in this process: libcamera locks a virtual camera against no other one."""
    picamera2 = prepare()
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)  # each failure in two lines
    number = number_of(picamera2, "Virtual0")
    held = picamera2.libcamera.CameraManager.singleton().get("Virtual0")
    held.acquire()
    source = camera(f"picamera2:{number}", options={"lores": False})
    counts = []
    for _ in range(ATTEMPTS):
        raises(SourceUnavailableError, "did not complete", source.open)
        counts.append(descriptors())
    assert counts[-1] == counts[0], f"descriptors after each attempt: {counts}"
    held.release()
    source.open()
    frame_of(source).release()
    source.close()
    print(f"   {counts[0]} descriptors after the first failure, {counts[-1]} after {ATTEMPTS}")


def the_colour_space_that_is_asked_for_is_the_one_libcamera_reports() -> None:
    """At 1280x720, where picamera2 by itself would ask for Rec. 709."""
    picamera2 = prepare()
    number = number_of(picamera2, "Virtual1")
    plain = picamera2.Picamera2(number)
    default = plain.create_video_configuration(main={"size": SIZES["Virtual1"]})["colour_space"]
    plain.close()
    assert default == picamera2.libcamera.ColorSpace.Rec709(), default
    wanted = picamera2.libcamera.ColorSpace.Smpte170m()
    for options in ({"lores": True}, {"lores": False}):
        warned = Warned()
        source = camera(f"picamera2:{number}", "Virtual1", options=options)
        source.open()
        streams = source._camera.stream_map  # type: ignore[attr-defined]
        got = streams["lores" if options["lores"] else "main"].configuration.color_space
        frame = frame_of(source)
        assert frame.format is PixelFormat.NV12, frame.format
        frame.release()
        source.close()
        said = [line for line in warned.lines if "colours come as" in line]
        print(f"   {options}: libcamera reports {got}; said of it: {said}")
        assert (got == wanted) == (not said), (got, said)
        if options["lores"]:
            assert got == wanted, got


class Warned(logging.Handler):
    """Collects what the appliance warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        logging.getLogger("appliance").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def picamera2_and_libcamera_in_one_process_are_refused() -> None:
    picamera2 = prepare()
    theirs = camera(f"picamera2:{number_of(picamera2, 'Virtual0')}", options={"lores": False})
    plain = camera("libcamera:Virtual1", "Virtual1")
    for first, second in ((theirs, plain), (plain, theirs)):
        first.open()
        raises(SourceUnavailableError, "one queue for both", second.open)
        for _ in range(5):
            frame_of(first).release()
        first.close()


def two_cameras_at_once_get_their_own_frames() -> None:
    prepare()
    pictures = [cv2.imread(f"/opt/frames/{number}.jpg") for number in range(2)]
    failures: list[str] = []

    def run(name: str) -> None:
        source = camera(f"libcamera:{name}", name)
        try:
            source.open()
            for _ in range(60):
                frame = frame_of(source)
                size = (frame.width, frame.height)
                ours = size == SIZES["Virtual0"] and any(
                    np.abs(rgb_of(frame)[:, :, ::-1].astype(int) - one).mean() < 12
                    for one in pictures
                )
                frame.release()
                if size != SIZES[name] or ours != (name == "Virtual0"):
                    failures.append(f"{name}: a frame of {size}, of the pictures: {ours}")
            source.close()
        except BaseException as error:  # noqa: BLE001 - told below, whatever it is
            failures.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=run, args=(name,)) for name in SIZES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:4]


def a_camera_is_closed_and_opened_again_five_times_beside_another() -> None:
    prepare()
    beside = camera("libcamera:Virtual1", "Virtual1")
    source = camera("libcamera:Virtual0")
    beside.open()
    before = 0
    for session in range(5):
        source.open()
        held = frame_of(source)
        for _ in range(10):
            frame_of(source).release()
            frame_of(beside).release()
        source.close()
        held.release()
        if session == 0:
            before = descriptors()
    assert descriptors() <= before, f"{before} descriptors, then {descriptors()}"
    for _ in range(10):
        frame_of(beside).release()
    beside.close()


def what_a_camera_cannot_set_is_refused_and_the_frame_rate_reaches_it() -> None:
    """The virtual camera has a frame rate, and neither exposure nor gain nor focus."""
    prepare()
    import libcamera

    for given, name in (
        ({"exposure_microseconds": 5000}, "ExposureTime"),
        ({"gain": 2.0}, "AnalogueGain"),
        ({"focus": 1.0}, "LensPosition"),
    ):
        source = camera("libcamera:Virtual0", controls=Controls(**given))
        raises(SourceUnavailableError, f"cannot set .*{name}", source.open)
    started: list[Any] = []
    start = libcamera.Camera.start

    def noted(self: Any, controls: Any) -> Any:
        started.append({control.name: value for control, value in controls.items()})
        return start(self, controls)

    libcamera.Camera.start = noted
    source = camera("libcamera:Virtual0", fps=25)
    source.open()
    frame_of(source).release()
    source.close()
    assert started == [{"FrameDurationLimits": (40_000, 40_000)}], started


def raises(kind: type[ApplianceError], words: str, act: Callable[[], object]) -> None:
    try:
        act()
    except kind as error:
        assert re.search(words, str(error)), f"{error} does not say {words}"
    else:
        raise AssertionError(f"no {kind.__name__}")


CASES: tuple[Callable[[], None], ...] = (
    padded_rows_have_the_right_colours,
    a_camera_whose_completions_stay_out_is_lost_closed_and_opened_again,
    fifty_openings_of_a_camera_that_is_held_leave_no_descriptor,
    the_colour_space_that_is_asked_for_is_the_one_libcamera_reports,
    picamera2_and_libcamera_in_one_process_are_refused,
    two_cameras_at_once_get_their_own_frames,
    a_camera_is_closed_and_opened_again_five_times_beside_another,
    what_a_camera_cannot_set_is_refused_and_the_frame_rate_reaches_it,
)


def main(cases: tuple[Callable[[], None], ...], module: str) -> None:
    """Run the one case that is named, in this process; without a name all, each in its own."""
    known = {case.__name__: case for case in cases}
    if len(sys.argv) == 2:
        logging.getLogger().addHandler(logging.NullHandler())  # the cases look at what matters
        known[sys.argv[1]]()
        sys.stdout.flush()
        os._exit(0)  # libcamera complains at the interpreter's end, of what is no concern here
    for name in known:
        print(f"== {name.replace('_', ' ')}", flush=True)
        subprocess.run([sys.executable, "-m", module, name], timeout=CASE_SECONDS, check=True)


if __name__ == "__main__":
    main(CASES, "tests.e2e.vendor_cameras")
