"""Network cameras: a real RTSP server whose every picture is known; what comes, and what is said.

Each picture carries its number, and the photograph in it passes by: so a test can say which of
the camera's pictures it was given, and whether a block of it is stale, grey or of wrong colour.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import SystemClock
from appliance.errors import FrameError, SourceLostError, SourceUnavailableError
from tests.helpers import free_port, source
from tests.rtsp.camera import Judge
from tests.rtsp.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.sources import Source
    from appliance.values import Frame
    from tests.rtsp.camera import Seen, Server

TRANSPORTS = ["tcp", "udp"]
MEAN_ERROR = 3.5
"""Grey levels. Compression alone does 2.3; the other matrix 4.7 or more, the other range 7."""


@contextlib.contextmanager
def watching(address: str, *, transport: str = "tcp", **options: Any) -> Iterator[Source]:
    """An open source of that address."""
    # The option is left out where it says what holds without it.
    ways = {} if transport == "tcp" else {"transport": transport}
    one = source(address, SystemClock(), options={**ways, **options})
    one.open()
    try:
        yield one
    finally:
        one.close()


def read(one: Source) -> Frame:
    frame = one.read()
    assert frame is not None, "a camera has no end"
    return frame


def look(one: Source, judge: Judge, count: int) -> list[Seen]:
    """Read so many pictures of a sound camera and judge them."""
    seen = []
    for _ in range(count):
        frame = read(one)
        seen.append(judge.of(frame))
        frame.release()
    return seen


def in_order(seen: list[Seen]) -> bool:
    numbers = [one.number for one in seen if one.number is not None]
    return all(before < after for before, after in itertools.pairwise(numbers))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("codec", "matrix"),
    [("h264", "601"), ("h264", "709"), ("h265", "601"), ("h265", "709"), ("mjpeg", "jpeg")],
)
def test_pictures_come_whole_in_order_and_in_their_colours(
    serve_camera: Callable[..., Server], codec: str, matrix: str, transport: str
) -> None:
    camera = serve_camera(codec, fps=30, matrix=matrix)
    with watching(camera.address(), transport=transport) as one:
        seen = look(one, Judge(camera.scene), 30)
    assert all(each.sound for each in seen), seen
    assert in_order(seen)
    assert max(each.mean_error for each in seen) < MEAN_ERROR


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_way_that_the_packets_take_is_the_one_that_is_asked_for(
    serve_camera: Callable[..., Server], transport: str
) -> None:
    camera = serve_camera(fps=30)
    with (
        Proxy(camera.port, "h264", camera.fps) as proxy,
        watching(camera.address(port=proxy.port), transport=transport) as one,
    ):
        look(one, Judge(camera.scene), 3)
        assert proxy.packets()
        assert proxy.over_udp() == (transport == "udp")


def test_a_camera_that_speaks_udp_alone_is_refused_in_words_where_tcp_is_asked_for(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(transport="udp", fps=30)
    assert 'transport = "auto"' in refused(camera.address(), transport="tcp").hint
    with watching(camera.address(), transport="udp") as one:
        assert all(each.sound for each in look(one, Judge(camera.scene), 3))


@pytest.mark.parametrize("size", [(640, 360), (322, 242)])
def test_a_picture_has_the_cameras_size(
    serve_camera: Callable[..., Server], size: tuple[int, int]
) -> None:
    width, height = size
    camera = serve_camera(width=width, height=height)
    with watching(camera.address()) as one:
        assert all(each.sound for each in look(one, Judge(camera.scene), 5))


def test_frames_are_numbered_and_stamped_when_they_arrived(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(fps=30)
    with watching(camera.address()) as one:
        frames = []
        for number in range(10):
            frame = read(one)
            assert frame.seq == number
            assert frame.captured_ns <= time.monotonic_ns()
            frames.append(frame)
    stamps = [frame.captured_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert {frame.origin.name for frame in frames} == {"ARRIVAL"}


def test_a_picture_keeps_its_pixels_while_others_are_read(
    serve_camera: Callable[..., Server],
) -> None:
    """Decoders give their buffers out again."""
    camera = serve_camera(fps=30)
    judge = Judge(camera.scene)
    with watching(camera.address()) as one:
        kept = read(one)
        number = judge.of(kept).number
        look(one, judge, 25)
    after = judge.of(kept)
    assert after.number == number
    assert after.sound


def test_a_camera_that_is_joined_between_key_frames_shows_nothing_until_the_next(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(fps=30, key_interval=30)
    judge = Judge(camera.scene)
    joined = 10
    with Proxy(camera.port, "h264", camera.fps) as proxy:
        proxy.lose_all(lambda packet: packet.timestamp < joined * 90_000 // 30)
        with watching(camera.address(port=proxy.port)) as one:
            seen: list[Seen] = []
            while len(seen) < 10:
                with contextlib.suppress(FrameError):  # it may say that it waits
                    seen += look(one, judge, 1)
    assert all(each.sound for each in seen)
    assert (seen[0].number or 0) >= 30


# A camera that falls silent.


def read_until_lost(one: Source, read_timeout_seconds: float) -> float:
    """Read on; return when the loss was told. No picture comes from a read that took too long."""
    while True:
        began = time.monotonic()
        try:
            frame = read(one)
        except SourceLostError:
            return time.monotonic()
        except FrameError:  # cut where the camera stopped
            continue
        assert time.monotonic() - began < read_timeout_seconds, "a stale picture, shown as new"
        frame.release()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_a_frozen_camera_is_lost_in_time_and_comes_back(
    serve_camera: Callable[..., Server], codec: str, transport: str
) -> None:
    camera = serve_camera(codec, fps=30)
    judge = Judge(camera.scene)
    with watching(camera.address(), transport=transport, read_timeout_seconds=2.0) as one:
        look(one, judge, 10)
        camera.freeze()
        frozen = time.monotonic()
        assert read_until_lost(one, 2.0) - frozen < 3.0
        closing = time.monotonic()
        one.close()
        assert time.monotonic() - closing < 1.0
        camera.thaw()
        one.open()
        assert all(each.sound for each in look(one, judge, 10))


def test_closing_does_not_wait_for_a_frozen_camera(serve_camera: Callable[..., Server]) -> None:
    camera = serve_camera(fps=30)
    with watching(camera.address(), read_timeout_seconds=5.0) as one:
        look(one, Judge(camera.scene), 3)
        camera.freeze()
        began = time.monotonic()
        one.close()
        assert time.monotonic() - began < 1.0


def test_a_camera_that_dies_is_lost_and_another_in_its_place_is_shown(
    serve_camera: Callable[..., Server],
) -> None:
    """It may have another picture size: somebody has set it up anew."""
    port = free_port()
    first = serve_camera(port=port, fps=30)
    with watching(first.address(), read_timeout_seconds=2.0) as one:
        look(one, Judge(first.scene), 5)
        first.kill()
        killed = time.monotonic()
        assert read_until_lost(one, 2.0) - killed < 3.0
        one.close()
        second = serve_camera("h265", port=port, width=640, height=480, fps=30)
        one.open()
        assert all(each.sound for each in look(one, Judge(second.scene), 5))


def test_a_halt_shorter_than_the_time_out_is_no_loss(serve_camera: Callable[..., Server]) -> None:
    camera = serve_camera(fps=30)
    judge = Judge(camera.scene)
    with (
        Proxy(camera.port, "h264", camera.fps) as proxy,
        watching(camera.address(port=proxy.port), read_timeout_seconds=10.0) as one,
    ):
        seen = look(one, judge, 10)
        proxy.stall()
        timer = threading.Timer(1.0, proxy.go_on)
        timer.start()
        seen += look(one, judge, 40)
        timer.join()
    assert all(each.sound for each in seen)
    assert in_order(seen)


def test_a_camera_that_is_frozen_before_it_is_opened_is_given_up_in_time(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera()
    camera.freeze()
    began = time.monotonic()
    refused(camera.address(), open_timeout_seconds=1.0)
    assert time.monotonic() - began < 2.0


# What is said.


def refused(address: str, **options: Any) -> SourceUnavailableError:
    """Return the error of an address that cannot be opened."""
    one = source(address, SystemClock(), options=options)
    try:
        with pytest.raises(SourceUnavailableError) as caught:
            one.open()
    finally:
        one.close()
    return caught.value


SECRET = "sEcret9"  # noqa: S105 - of a camera that a test starts


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_camera_with_a_user_lets_the_right_one_in_and_no_password_is_shown(
    serve_camera: Callable[..., Server],
    method: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    camera = serve_camera(user="admin", password=SECRET, method=method)
    with watching(camera.address(login=f"admin:{SECRET}")) as one:
        assert all(each.sound for each in look(one, Judge(camera.scene), 3))
    wrong = refused(camera.address(login=f"admin:{SECRET}x"))
    path = refused(camera.address("/other", login=f"admin:{SECRET}"))
    without = refused(camera.address())
    assert "user" in str(wrong) and "user" in str(without)
    assert without_address(path, camera) != without_address(wrong, camera)
    shown = [
        *(f"{error} {error.hint}" for error in (wrong, path, without)),
        *("".join(traceback.format_exception(error)) for error in (wrong, path, without)),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert not [text for text in shown if SECRET in text]


def without_address(error: SourceUnavailableError, camera: Server) -> str:
    """Return what an error says, less where: so that the reason alone is compared."""
    text = f"{error.message}: {error.hint}"
    for part in (str(camera.port), "/cam", "/sound", "/other", "127.0.0.1", "camera.invalid"):
        text = text.replace(part, "")
    return text


def test_each_reason_why_a_camera_cannot_be_opened_has_its_own_sentence(
    serve_camera: Callable[..., Server],
) -> None:
    camera = serve_camera(user="admin", password=SECRET)
    login = f"admin:{SECRET}"
    unknown = (b"H264/90000", b"HX64/90000")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Proxy(camera.port, "h264", camera.fps, rename=unknown) as proxy,
    ):
        quiet = camera.address(port=silent.getsockname()[1])
        nobody = camera.address(port=free_port())
        errors = {
            "user": refused(camera.address()),
            "path": refused(camera.address("/other", login)),
            "nobody": refused(nobody),
            "host": refused(f"rtsp://camera.invalid:{camera.port}/cam"),
            "silent": refused(quiet, open_timeout_seconds=1.0),
            "sound": refused(camera.address("/sound", login), open_timeout_seconds=3.0),
            "codec": refused(camera.address("/cam", login, proxy.port), open_timeout_seconds=3.0),
        }
        for error, address in ((errors["nobody"], nobody), (errors["silent"], quiet)):
            assert address in str(error)
    said = {name: digits_left_out(without_address(error, camera)) for name, error in errors.items()}
    assert len(set(said.values())) == len(said), said
    assert all(error.hint for error in errors.values())


def digits_left_out(text: str) -> str:
    return "".join(sign for sign in text if not sign.isdigit())
