"""A network camera: a real HTTP server that sends MJPEG, ends, and goes silent."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from appliance.clock import ManualClock, SystemClock
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from appliance.sources.encoded.encoded_video import EncodedVideo
from appliance.values import ClockOrigin
from tests.helpers import free_port, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRAMES = 60
USER, PASSWORD = "admin", "p/w#1@x"


def jpeg(number: int) -> bytes:
    picture = np.full((120, 160, 3), number * 4, np.uint8)
    picture[:, ::16] = 128
    return cv2.imencode(".jpg", picture)[1].tobytes()


class Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = self.path[1:].partition("?")[0]
        if self.path.startswith("/for/") and not self._known(self.path[5:]):
            return
        code = {"moved": 302}.get(status, 200)
        self.send_response(int(status) if status.isdigit() else code)
        if status.isdigit() or status == "page":
            self.end_headers()
            self.wfile.write(b"<html>not a camera</html>")
            return
        if self.path == "/moved":
            self.send_header("Location", self.server.moved)  # type: ignore[attr-defined]
            self.end_headers()
            return
        if self.path == "/picture":
            content = jpeg(7)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
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
                content = jpeg(number)
                if self.path == "/cut" and number % 3 == 2:
                    content = content[: len(content) // 2]
                head = (
                    f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                )
                self.wfile.write(head.encode() + content + b"\r\n")
            if self.path == "/silent":
                self.server.hold.wait(20)  # type: ignore[attr-defined]
        except OSError:
            return

    def _known(self, method: str) -> bool:
        """Let in who knows user and password; ask everybody else, by the method."""
        given = self.headers.get("Authorization", "")
        if given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            return method == "basic"
        if given.startswith("Digest "):
            words = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
            one = hashlib.md5(f"{USER}:door:{PASSWORD}".encode()).hexdigest()  # noqa: S324
            two = hashlib.md5(f"GET:{words['uri']}".encode()).hexdigest()  # noqa: S324
            if hashlib.md5(f"{one}:abc:{two}".encode()).hexdigest() == words["response"]:  # noqa: S324
                return method == "digest"
        self.send_response(401)
        asked = 'Basic realm="door"' if method == "basic" else 'Digest realm="door", nonce="abc"'
        self.send_header("WWW-Authenticate", asked)
        self.end_headers()
        return False

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
    with pytest.raises(SourceLostError, match=r"broke off|silent for 1\.\d s"):
        while (frame := one.read()) is not None:
            assert (frame.width, frame.height, frame.seq) == (160, 120, seen)
            assert frame.origin is ClockOrigin.ARRIVAL
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
    with pytest.raises(SourceLostError, match=r"silent for 1\.\d s"):
        while one.read() is not None:
            assert clock.readings[-1] - clock.readings[0] < 10**9
            clock.readings.clear()
            seen += 1
    assert clock.readings[-1] - clock.readings[0] >= 10**9
    assert seen > FRAMES // 4
    one.close()


@pytest.mark.parametrize(("seconds", "lost"), [(1.9, False), (2.0, True), (2.1, True)])
def test_a_read_that_took_the_time_out_is_a_loss_whatever_it_returns(
    camera: str, monkeypatch: pytest.MonkeyPatch, seconds: float, *, lost: bool
) -> None:
    clock = ManualClock()
    one = source(camera + "/ends", clock, options={"read_timeout_seconds": 2.0})
    one.open()
    real = EncodedVideo.read

    def late(self: EncodedVideo) -> object:
        clock.advance(seconds)
        return real(self)

    monkeypatch.setattr(EncodedVideo, "read", late)
    if lost:
        with pytest.raises(SourceLostError, match=rf"silent for {seconds} s"):
            one.read()
    else:
        assert one.read() is not None


@pytest.mark.parametrize(
    ("user", "path", "words"),
    [
        ("", "/401", "it asks for user and password: none are given"),
        ("admin:sEcret9@", "/401?key=sEcret8", "it asks for user and password: check those given"),
        ("", "/404", "it has nothing at this path"),
        ("", "/503", "it refuses: Server returned 5XX"),
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


def test_an_address_that_gives_one_picture_is_refused_with_what_to_use(camera: str) -> None:
    with pytest.raises(SourceUnavailableError, match=r"gives one picture and ends .*MJPEG"):
        source(camera + "/picture").open()


def test_a_cut_picture_is_no_frame_and_the_next_one_is(camera: str) -> None:
    one = source(camera + "/cut")
    one.open()
    whole, cut = 0, 0
    with pytest.raises(SourceLostError):
        while True:
            try:
                frame = one.read()
            except FrameError as error:
                assert "damaged JPEG" in str(error)
                cut += 1
                continue
            assert frame is not None
            assert round(frame.planes[0][60, 8].mean() / 4) % 3 != 2
            whole += 1
    assert whole == pytest.approx(2 * cut, abs=2)
    assert whole + cut > FRAMES // 2
    one.close()


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_user_and_password_are_given_as_the_camera_asks(camera: str, method: str) -> None:
    known = camera.replace("://", f"://{USER}:{quote(PASSWORD, safe='')}@")
    one = source(f"{known}/for/{method}")
    one.open()
    assert one.read() is not None
    one.close()
    with pytest.raises(SourceUnavailableError, match="check those given") as caught:
        source(f"{known.replace('%23', '%24')}/for/{method}").open()
    assert "p%2F" not in str(caught.value)
    with pytest.raises(SourceUnavailableError, match="none are given"):
        source(f"{camera}/for/{method}").open()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine's address that nobody else has signed."""
    path = tmp_path / "camera.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=camera"
    words += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        ["openssl", *words.split(), "-keyout", str(tmp_path / "key.pem"), "-out", str(path)],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.hold = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_camera_is_trusted_by_its_certificate_or_not_at_all(
    secure: str, certificate: Path
) -> None:
    with pytest.raises(SourceUnavailableError, match=r"certificate is not trusted.*tls_ca_file"):
        source(secure + "/ends").open()
    with pytest.raises(SourceUnavailableError, match="certificate is not trusted"):
        by_name = secure.replace("127.0.0.1", "localhost")
        source(by_name + "/ends", options={"tls_ca_file": str(certificate)}).open()
    for option in (("tls_ca_file", str(certificate)), ("tls_verify", False)):
        one = source(secure + "/ends", options=dict([option]))
        one.open()
        assert one.read() is not None
        one.close()


def test_a_camera_that_sends_on_to_a_secure_address_is_not_trusted_for_that(
    secure: str, certificate: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.moved = f"{secure}/ends"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/moved"
    try:
        with pytest.raises(SourceUnavailableError, match="certificate is not trusted"):
            source(address).open()
        one = source(address, options={"tls_ca_file": str(certificate)})
        one.open()
        assert one.read() is not None
        one.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_closed_by_another_thread_the_one_that_reads_ends(camera: str) -> None:
    one = source(camera + "/silent", options={"read_timeout_seconds": 2.0})
    opened, ended = threading.Event(), []

    def read() -> None:
        one.open()
        opened.set()
        try:
            while one.read() is not None:
                pass
        except SourceLostError as error:
            ended.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    assert opened.wait(20)
    one.close()
    reader.join(20)
    assert not reader.is_alive()
    assert ended
