"""A stand-in for picamera2, with what it does that hurts.

Read in picamera2 0.3.38 and commit 3e6dff0 (0.3.36): ``picamera2.py`` (a constructor that fails
keeps its pipe, and in 0.3.36 its entry in the table; jobs wait in one line, ``stop`` is a job too
and waits without limit; ``cancel_all_and_flush``; ``close`` of what is not open returns at once),
``request.py`` (make_buffer gives the memory with its padding; in 0.3.36 make_array knows no NV12).
"""

from __future__ import annotations

import os
import threading
import types
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tests.packing import lay, stride_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.values import Pixels
    from tests.fakes.libcamera_like import ColorSpace


class Table:
    """picamera2's CameraManager: which cameras its listening thread serves."""

    def __init__(self) -> None:
        self.cameras: dict[int, Any] = {}

    def cleanup(self, index: int) -> None:
        del self.cameras[index]


class Request:
    def __init__(self, camera: Picamera2) -> None:
        self.camera, self.released = camera, 0
        self.metadata: dict[str, Any] = {}
        if camera.stamp_ns is not None:
            self.metadata["SensorTimestamp"] = camera.stamp_ns

    def get_metadata(self) -> dict[str, Any]:
        return self.metadata

    def make_buffer(self, stream: str) -> Any:
        config = self.camera.configuration[stream]
        width, height = config["size"]
        picture = self.camera.picture(width, height)
        return np.frombuffer(lay(config["format"], picture, config["stride"]), np.uint8).copy()

    def make_array(self, stream: str) -> Any:
        config = self.camera.configuration[stream]
        (width, height), stride, buffer = config["size"], config["stride"], self.make_buffer(stream)
        if config["format"] == "YUV420":
            return buffer.reshape(height * 3 // 2, stride)  # with its padding
        if config["format"] not in {"RGB888", "BGR888", "XRGB8888", "XBGR8888"}:
            raise RuntimeError(f"Format {config['format']} not supported")
        each = 4 if config["format"].startswith("X") else 3
        rows = buffer.reshape(height, stride)[:, : width * each]
        return np.ascontiguousarray(rows).reshape(height, width, each)

    def release(self) -> None:
        self.released += 1


class Job:
    def __init__(self, act: Callable[[], tuple[bool, Any]]) -> None:
        self.act, self.future = act, Future[Any]()


class Picamera2:
    """The class; its class attributes say how the next ones behave (see ``fresh``)."""

    _cm: ClassVar[Table]
    made: ClassVar[list[Picamera2]]
    chip: ClassVar[str]
    silent: ClassVar[bool]
    """The sensor delivers nothing."""
    fails: ClassVar[str]
    """Where something is raised: "acquire", "setup", "configure", "start" or "release"."""
    enters_table_first: ClassVar[bool]
    """As in 0.3.36; in 0.3.38 when all else is done."""
    instead: ClassVar[dict[str, str]]
    """Formats given instead of those asked for, by stream."""
    colours_instead: ClassVar[ColorSpace | None]
    stamp_ns: ClassVar[int | None]
    script: ClassVar[list[dict[str, Any]] | None]
    """Metadata of the frames to come, after which it falls silent; None goes on for ever."""

    def __init__(self, number: int = 0) -> None:
        type(self).made.append(self)
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        self.is_open = self.started = self.acquired = False
        self.number = number
        if self.enters_table_first:
            self._cm.cameras[number] = self
        self.lock = threading.Lock()
        self.jobs: list[Job] = []
        self.configuration: dict[str, Any] = {}
        self.stream_map: dict[str, Any] = {}
        self.requests: list[Request] = []
        self.calls: list[str] = []
        self._fail_at("acquire", RuntimeError("Camera __init__ sequence did not complete."))
        self.acquired = self.is_open = True
        self._fail_at("setup", RuntimeError("Camera __init__ sequence did not complete."))
        self._cm.cameras[number] = self
        self.allocator = object()

    def _fail_at(self, place: str, error: Exception) -> None:
        if self.fails == place:
            raise error

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": "imx708", "Num": 0}]

    def create_video_configuration(self, **parts: Any) -> dict[str, Any]:
        parts.setdefault("lores", None)
        return parts

    def configure(self, configuration: dict[str, Any]) -> None:
        # As with one stream of a USB camera: generate_configuration gave None.
        self._fail_at("configure", AttributeError("'NoneType' object has no attribute 'at'"))
        self.configuration = configuration
        for name in ("main", "lores"):
            stream = configuration[name]
            if stream is None:
                continue
            stream["format"] = self.instead.get(name, stream["format"])
            stream["stride"] = stride_of(stream["format"], stream["size"][0], self.chip)
            colours = self.colours_instead or configuration.get("colour_space")
            self.stream_map[name] = types.SimpleNamespace(
                configuration=types.SimpleNamespace(color_space=colours)
            )

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def picture(self, width: int, height: int) -> Pixels:
        return np.zeros((height, width, 3), np.uint8)

    def start(self) -> None:
        self._fail_at("start", RuntimeError("Failed to start camera"))
        self.started = True

    def capture_request(self, wait: float) -> Request:
        def capture() -> tuple[bool, Any]:
            if self.silent or self.script == []:
                return False, None
            request = Request(self)
            if self.script:
                request.metadata |= self.script.pop(0)
            self.requests.append(request)
            return True, request

        # A real one waits for so long; that it waits is no part of what is tested.
        request: Request = self._dispatch(capture, min(wait, 0.01))
        return request

    def stop(self) -> None:
        if not self.started:
            return

        def stop() -> tuple[bool, Any]:
            self.started = False
            self.calls.append("stop")
            return True, None

        self._dispatch(stop, None)

    def cancel_all_and_flush(self) -> None:
        with self.lock:
            for job in self.jobs:
                job.future.set_exception(CancelledError())
            self.jobs = []

    def close(self) -> None:
        if not self.is_open:
            return
        self.stop()
        self._fail_at("release", RuntimeError("Failed to release camera"))
        self.acquired = False
        self._cm.cleanup(self.number)
        self.is_open = False
        self.notifymeread.close()
        os.close(self.notifyme_w)
        self.calls.append("close")
        del self.allocator

    def _dispatch(self, act: Callable[[], tuple[bool, Any]], seconds: float | None) -> Any:
        job = Job(act)
        with self.lock:
            self.jobs.append(job)
            while self.jobs:  # the loop of events: a job that is not done keeps the others waiting
                done, result = self.jobs[0].act()
                if not done:
                    break
                self.jobs.pop(0).future.set_result(result)
        return job.future.result(seconds)


def fresh() -> type[Picamera2]:
    """Return a class of its own, with nothing broken."""

    class Fresh(Picamera2):
        _cm = Table()
        made: ClassVar[list[Picamera2]] = []
        chip = "pisp"
        silent = False
        fails = ""
        enters_table_first = True
        instead: ClassVar[dict[str, str]] = {}
        colours_instead = None
        stamp_ns = None
        script = None

    return Fresh
