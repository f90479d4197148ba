"""A network camera: a real HTTP server that sends MJPEG, ends, and goes silent."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance.clock import ManualClock, SystemClock
from appliance.errors import SourceLostError, SourceUnavailableError
from appliance.values import ClockOrigin
from tests.helpers import free_port, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRAMES = 60


class Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = self.path[1:].partition("?")[0]
        self.send_response(int(status) if status.isdigit() else 200)
        if status.isdigit() or status == "page":
            self.end_headers()
            self.wfile.write(b"<html>not a camera</html>")
            return
        if self.path == "/film":
            self.end_headers()
            film: bytes = self.server.film  # type: ignore[attr-defined]
            self.wfile.write(film[: len(film) * 6 // 10])
            self.server.hold.wait(20)  # type: ignore[attr-defined]
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(FRAMES):
                picture = np.full((120, 160, 3), number * 4, np.uint8)
                content = cv2.imencode(".jpg", picture)[1].tobytes()
                head = (
                    f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                )
                self.wfile.write(head.encode() + content + b"\r\n")
            if self.path == "/silent":
                self.server.hold.wait(20)  # type: ignore[attr-defined]
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


def film(path: Path) -> bytes:
    """Return a film whose decoder holds pictures back while it waits for more."""
    code = cv2.VideoWriter.fourcc(*"XVID")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25.0, (160, 120))
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        writer.write(rng.integers(0, 256, (12, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1))
    writer.release()
    return path.read_bytes()


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.film = film(tmp_path / "film.avi")  # type: ignore[attr-defined]
    server.hold = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.hold.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["/ends", "/silent"])
def test_frames_arrive_and_an_end_is_a_loss(camera: str, path: str) -> None:
    one = source(camera + path, options={"read_timeout_seconds": 1.0})
    one.open()
    seen = 0
    with pytest.raises(SourceLostError, match="ended or went silent"):
        while (frame := one.read()) is not None:
            assert (frame.width, frame.height, frame.seq) == (160, 120, seen)
            assert frame.origin is ClockOrigin.READ
            seen += 1
    assert seen > FRAMES // 2
    one.close()


class Recorded(SystemClock):
    """Keeps every reading."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: list[int] = []

    def monotonic_ns(self) -> int:
        self.readings.append(super().monotonic_ns())
        return self.readings[-1]


def test_a_picture_that_the_decoder_held_back_over_a_silence_is_not_shown(camera: str) -> None:
    """After the time-out the decoder hands out what it kept, as if it had come just now."""
    clock = Recorded()
    one = source(camera + "/film", clock, options={"read_timeout_seconds": 1.0})
    one.open()
    seen = 0
    with pytest.raises(SourceLostError, match="ended or went silent"):
        while one.read() is not None:
            assert clock.readings[-1] - clock.readings[0] < 10**9
            clock.readings.clear()
            seen += 1
    assert clock.readings[-1] - clock.readings[0] >= 10**9
    assert seen > FRAMES // 4
    one.close()


@pytest.mark.parametrize(("seconds", "lost"), [(1.9, False), (2.0, True), (2.1, True)])
def test_a_read_that_took_the_time_out_is_a_loss_whatever_it_returns(
    monkeypatch: pytest.MonkeyPatch, seconds: float, *, lost: bool
) -> None:
    clock = ManualClock()

    class Silent:
        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

        def read(self) -> tuple[bool, object]:
            clock.advance(seconds)
            return True, np.zeros((12, 16, 3), np.uint8)

    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Silent())
    one = source("rtsp://host/cam", clock, options={"read_timeout_seconds": 2.0})
    one.open()
    if lost:
        with pytest.raises(SourceLostError, match="went silent"):
            one.read()
    else:
        assert one.read() is not None


@pytest.mark.parametrize(
    ("user", "path", "words"),
    [
        ("", "/401", "it asks for user and password: none are given"),
        ("admin:sEcret9@", "/401?key=sEcret8", "it asks for user and password: check those given"),
        ("", "/404", "it has nothing at this path"),
        ("", "/503", "it answers with 503"),
        ("", "/page", "it answers, but not with video that can be decoded"),
    ],
)
def test_why_a_camera_cannot_be_opened_is_asked_of_it(
    camera: str, user: str, path: str, words: str
) -> None:
    with pytest.raises(SourceUnavailableError) as caught:
        source(camera.replace("://", f"://{user}") + path).open()
    assert words in str(caught.value)
    assert "sEcret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "nothing listens at 127.0.0.1:"),
        ("no-such-camera.invalid", "there is no host no-such-camera.invalid"),
    ],
)
def test_who_is_not_there_is_told_from_who_refuses(host: str, words: str) -> None:
    with pytest.raises(SourceUnavailableError, match=words):
        source(f"rtsp://admin:pw@{host}:{free_port()}/cam").open()


def test_a_camera_that_takes_the_connection_and_is_silent_is_told_as_such() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        port = listener.getsockname()[1]
        one = source(f"rtsp://127.0.0.1:{port}/cam", options={"open_timeout_seconds": 1.0})
        with pytest.raises(SourceUnavailableError, match="no video within 1 s"):
            one.open()
