"""A network camera: a real HTTP server that sends MJPEG, ends, and goes silent."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance.errors import SourceLostError
from appliance.values import ClockOrigin
from tests.helpers import source

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = 60


class Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
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


@pytest.fixture
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
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
