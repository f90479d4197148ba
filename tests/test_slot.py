"""The newest frame wins for cameras, nothing is lost for files, cameras take turns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from appliance.pipeline.slot import Exchange, Pending
from appliance.values import Frame, PixelFormat
from tests.helpers import wait_for


def pending(seq: int, lane: str = "a") -> Pending[str]:
    pixels = np.zeros((2, 2, 3), np.uint8)
    return Pending(lane, Frame(pixels, PixelFormat.BGR24, 2, 2, 0, seq), seq, 0)


def test_a_newer_live_frame_replaces_the_older() -> None:
    exchange: Exchange[str] = Exchange(1)
    assert exchange.replace(0, pending(1)) is None
    old = exchange.replace(0, pending(2))
    assert old is not None
    assert old.frame.seq == 1
    taken = exchange.take(0)
    assert taken is not None
    assert (taken.frame.seq, taken.ticket) == (2, 0)
    assert exchange.take(0) is None


def test_a_file_waits_for_its_turn() -> None:
    exchange: Exchange[str] = Exchange(1)
    assert exchange.offer(0, pending(1), 0)
    assert not exchange.offer(0, pending(2), 0.01)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(exchange.offer(0, pending(2), 10)))
    thread.start()
    assert exchange.take(1) is not None
    thread.join(10)
    assert results == [True]


def test_cameras_take_turns() -> None:
    exchange: Exchange[str] = Exchange(2)
    order = []
    for seq in range(3):
        exchange.replace(0, pending(seq, "a"))
        exchange.replace(1, pending(seq, "b"))
        for _ in range(2):
            taken: Any = exchange.take(0)
            order.append((taken.lane, taken.ticket))
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_closing_wakes_everybody_and_returns_what_was_left() -> None:
    exchange: Exchange[str] = Exchange(1)
    exchange.replace(0, pending(7))
    assert [left.frame.seq for left in exchange.close()] == [7]
    refused = exchange.replace(0, pending(8))
    assert refused is not None
    assert refused.frame.seq == 8
    waiter: list[object] = []
    thread = threading.Thread(target=lambda: waiter.append(exchange.take(30)))
    thread.start()
    wait_for(lambda: waiter == [None])
    thread.join(10)
