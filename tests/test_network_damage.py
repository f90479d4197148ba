"""Packets of a network camera that are lost or altered: no damaged picture is shown as sound.

The truth is known twice: of each picture that comes, from its pixels; of each that was sent, from
the packets that the way let through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import FrameError
from tests.rtsp.camera import Judge
from tests.rtsp.proxy import Proxy
from tests.test_network_cameras import TRANSPORTS, in_order, read, watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.sources import Source
    from tests.rtsp.camera import Seen, Server
    from tests.rtsp.packets import Packet, Picture
    from tests.rtsp.proxy import Damage

FPS, KEY_INTERVAL = 30, 15
_TICKS = 90_000 // FPS


def read_on(one: Source, judge: Judge, last: int) -> tuple[list[Seen], int]:
    """Read until picture ``last`` or a later one came; count the ones that were refused."""
    seen: list[Seen] = []
    refused = 0
    while not seen or (seen[-1].number or 0) < last:
        try:
            frame = read(one)
        except FrameError:
            refused += 1
            continue
        seen.append(judge.of(frame))
        frame.release()
    return seen, refused


def numbers(seen: list[Seen]) -> set[int]:
    return {each.number for each in seen if each.number is not None}


def damaged(seen: list[Seen]) -> list[Seen]:
    return [each for each in seen if not each.sound]


def share_delivered(pictures: list[Picture], seen: list[Seen]) -> float:
    """Return the share that came of the pictures in groups of which nothing was lost."""
    came = numbers(seen)
    first, last = min(came), max(came)
    whole = [p.number for p in pictures if p.group_whole and first <= p.number <= last]
    assert len(whole) >= KEY_INTERVAL, "no group came through whole: nothing is shown"
    return sum(number in came for number in whole) / len(whole)


def of_picture(number: int) -> Callable[[Packet], bool]:
    """Tell the packets that carry slices of this picture: all but parameters and marks."""

    def slices(packet: Packet) -> bool:
        return round(packet.timestamp / _TICKS) == number and packet.kinds[0] not in (6, 9, 35, 39)

    return slices


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("which", ["a key frame", "one that others rest on"])
def test_after_a_loss_nothing_is_shown_until_the_next_sound_key_frame(
    serve_camera: Callable[..., Server], codec: str, transport: str, which: str
) -> None:
    camera = serve_camera(codec, fps=FPS, key_interval=KEY_INTERVAL)
    lost = 60 if which == "a key frame" else 64
    with (
        Proxy(camera.port, codec, FPS) as proxy,
        watching(camera.address(port=proxy.port), transport=transport) as one,
    ):
        proxy.lose_all(of_picture(lost))
        seen, refused = read_on(one, Judge(camera.scene), 100)
    dark = set(range(lost, 75))  # the rest of its group
    assert not damaged(seen)
    assert in_order(seen)
    assert refused > 0
    assert not numbers(seen) & dark
    # The picture before the loss may come out with the news of it.
    assert set(range(45, 100)) - dark - numbers(seen) <= {lost - 1}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_of_pictures_that_rest_on_no_other_only_the_torn_ones_are_left_out(
    serve_camera: Callable[..., Server], transport: str
) -> None:
    camera = serve_camera("mjpeg", fps=FPS)
    with (
        Proxy(camera.port, "mjpeg", FPS) as proxy,
        watching(camera.address(port=proxy.port), transport=transport) as one,
    ):
        proxy.lose(0.01)
        seen, _ = read_on(one, Judge(camera.scene), 90)
        truth = proxy.pictures()
    assert not damaged(seen)
    assert in_order(seen)
    assert any(not picture.whole for picture in truth)
    assert share_delivered(truth, seen) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.timeout(150)
@pytest.mark.parametrize(("seed", "share", "seconds"), [(1, 0.01, 15), (2, 0.002, 60)])
def test_a_lossy_way_costs_the_groups_that_it_tears_and_no_damage_is_shown(
    serve_camera: Callable[..., Server],
    codec: str,
    transport: str,
    seed: int,
    share: float,
    seconds: int,
) -> None:
    camera = serve_camera(codec, fps=FPS, key_interval=KEY_INTERVAL)
    with (
        Proxy(camera.port, codec, FPS, seed=seed) as proxy,
        watching(camera.address(port=proxy.port), transport=transport) as one,
    ):
        proxy.lose(share)
        seen, refused = read_on(one, Judge(camera.scene), seconds * FPS)
        truth = proxy.pictures()
    torn = sum(not picture.whole for picture in truth)
    delivered = share_delivered(truth, seen)
    print(  # noqa: T201 - seen with `pytest -rP`
        f"{codec} {transport} {share:.1%} of the packets lost for {seconds} s: {torn} pictures of "
        f"{len(truth)} torn, {refused} refused, {len(damaged(seen))} damaged ones shown, "
        f"{delivered:.1%} of the intact groups' pictures delivered"
    )
    assert any(not picture.whole for picture in truth)
    assert not damaged(seen)
    assert in_order(seen)
    assert refused > 0
    assert delivered >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
@pytest.mark.parametrize("damage", ["zero", "randomise"])
def test_altered_packets_over_tcp(
    serve_camera: Callable[..., Server],
    codec: str,
    damage: Damage,
) -> None:
    """H.264 tells of them. H.265 and JPEG decode much of it to something: figures, no promise."""
    camera = serve_camera(codec, fps=FPS, key_interval=KEY_INTERVAL)
    with (
        Proxy(camera.port, codec, FPS) as proxy,
        watching(camera.address(port=proxy.port)) as one,
    ):
        proxy.lose(0.01, damage)
        seen, refused = read_on(one, Judge(camera.scene), 10 * FPS)
        truth = proxy.pictures()
    torn = sum(not picture.sound for picture in truth)
    shown = len(damaged(seen))
    # Seen with `pytest -rP`.
    figures = f"{torn} of {len(truth)} torn, {refused} refused, {shown} torn ones shown"
    print(codec, damage, figures)  # noqa: T201
    assert torn > 5
    assert codec != "h264" or not shown
    # What is not told of ends with the next key frame at the latest.
    assert share_delivered(truth, seen) >= 0.9
