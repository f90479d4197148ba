"""The newest frame wins for cameras, nothing is lost for files, cameras take turns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.pipeline.exchange import Exchange, Pending
from appliance.values import Frame, PixelFormat
from tests.helpers import wait_for, wait_until_blocked


def pending(seq: int, lane: str = "a") -> Pending[str]:
    pixels = np.zeros((2, 2, 3), np.uint8)
    return Pending(lane, Frame((pixels,), PixelFormat.BGR24, 2, 2, 0, seq), seq, 0)


def test_a_newer_live_frame_replaces_the_older() -> None:
    exchange: Exchange[str] = Exchange("a")
    assert exchange.replace(pending(1)) is None
    old = exchange.replace(pending(2))
    assert old is not None
    assert old.frame.seq == 1
    taken = exchange.take(0)
    assert taken is not None
    assert (taken.frame.seq, taken.ticket) == (2, 0)
    assert exchange.take(0) is None


def test_a_file_waits_for_its_turn() -> None:
    exchange: Exchange[str] = Exchange("a")
    assert exchange.offer(pending(1), 0)
    assert not exchange.offer(pending(2), 0.01)
    results: list[bool] = []
    thread = threading.Thread(
        target=lambda: results.append(exchange.offer(pending(2), 60)), daemon=True
    )
    thread.start()
    wait_until_blocked(thread)
    assert exchange.take(1) is not None
    thread.join(10)
    assert results == [True]


def test_cameras_take_turns() -> None:
    exchange: Exchange[str] = Exchange("ab")
    order = []
    for seq in range(3):
        exchange.replace(pending(seq, "a"))
        exchange.replace(pending(seq, "b"))
        for _ in range(2):
            taken: Any = exchange.take(0)
            order.append((taken.lane, taken.ticket))
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_a_camera_that_always_has_a_frame_does_not_starve_the_others() -> None:
    """Three fast cameras and too few workers: every slot is full again before each take."""
    exchange: Exchange[str] = Exchange("abc")
    order = []
    for seq in range(6):
        for name in "abc":
            exchange.replace(pending(seq, name))
        taken: Any = exchange.take(0)
        order.append((taken.lane, taken.frame.seq, taken.ticket))
    assert order == [
        ("a", 0, 0), ("b", 1, 0), ("c", 2, 0), ("a", 3, 1), ("b", 4, 1), ("c", 5, 1),
    ]  # fmt: skip


@given(st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=40))
def test_nobody_waits_longer_than_one_round(arrivals: list[set[int]]) -> None:
    """Whatever arrives before each take, each frame is taken within as many takes as cameras."""
    exchange: Exchange[int] = Exchange(range(5))
    waiting: dict[int, int] = {}
    tickets = dict.fromkeys(range(5), 0)
    for seq, indexes in enumerate(arrivals):
        for index in indexes:
            exchange.replace(Pending(index, pending(seq).frame, seq, seq * 10))
            waiting.setdefault(index, 0)
        taken = exchange.take(0)
        if taken is None:
            assert not waiting
            continue
        assert taken.ticket == tickets[taken.lane]
        assert taken.received_ns == taken.number * 10
        assert taken.frame.seq == taken.number
        tickets[taken.lane] += 1
        del waiting[taken.lane]
        waiting = {index: takes + 1 for index, takes in waiting.items()}
        assert all(takes < 5 for takes in waiting.values())


def start(exchange: Exchange[str]) -> tuple[threading.Thread, list[Pending[str] | None]]:
    """A worker that waits for half a minute, and what it took."""
    taken: list[Pending[str] | None] = []
    thread = threading.Thread(target=lambda: taken.append(exchange.take(30)), daemon=True)
    thread.start()
    wait_until_blocked(thread)
    return thread, taken


def test_a_waiting_worker_is_woken_by_a_frame_of_a_file() -> None:
    exchange: Exchange[str] = Exchange("a")
    thread, taken = start(exchange)
    assert exchange.offer(pending(1), 0)
    thread.join(10)
    assert [one.number for one in taken if one] == [1]


def test_a_waiting_worker_is_woken_by_a_live_frame() -> None:
    exchange: Exchange[str] = Exchange("a")
    thread, taken = start(exchange)
    assert exchange.replace(pending(1)) is None
    thread.join(10)
    assert [one.number for one in taken if one] == [1]


def test_closing_wakes_all_who_wait() -> None:
    exchange: Exchange[str] = Exchange("a")
    workers = [start(exchange) for _ in range(2)]
    assert exchange.close() == []
    for thread, taken in workers:
        thread.join(10)
        assert taken == [None]


def test_closing_wakes_files_that_wait_and_refuses_their_frames() -> None:
    exchange: Exchange[str] = Exchange("ab")
    exchange.offer(pending(0), 0)
    exchange.offer(pending(1, "b"), 0)
    results: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda index=index: results.append(exchange.offer(pending(9, "ab"[index]), 30)),
            daemon=True,
        )
        for index in range(2)
    ]
    for thread in threads:
        thread.start()
        wait_until_blocked(thread)
    assert [one.number for one in exchange.close()] == [0, 1]
    for thread in threads:
        thread.join(10)
    assert results == [False, False]
    assert not exchange.offer(pending(9), 0)
    assert exchange.take(0) is None
    assert exchange.close() == []


def test_a_frame_of_a_file_is_not_lost_to_one_that_came_too_late() -> None:
    exchange: Exchange[str] = Exchange("a")
    exchange.offer(pending(1), 0)
    assert not exchange.offer(pending(2), 0)
    taken = exchange.take(0)
    assert taken is not None
    assert taken.number == 1


def test_closing_wakes_everybody_and_returns_what_was_left() -> None:
    exchange: Exchange[str] = Exchange("a")
    exchange.replace(pending(7))
    assert [left.frame.seq for left in exchange.close()] == [7]
    refused = exchange.replace(pending(8))
    assert refused is not None
    assert refused.frame.seq == 8
    waiter: list[object] = []
    thread = threading.Thread(target=lambda: waiter.append(exchange.take(30)))
    thread.start()
    wait_for(lambda: waiter == [None])
    thread.join(10)


def test_a_camera_comes_and_goes_while_the_others_go_on() -> None:
    exchange: Exchange[str] = Exchange("ab")
    exchange.replace(pending(1, "a"))
    exchange.replace(pending(2, "b"))
    left = exchange.remove("a")
    assert left is not None
    assert left.number == 1
    refused = exchange.replace(pending(3, "a"))
    assert refused is not None
    assert refused.number == 3
    assert not exchange.offer(pending(4, "a"), 30)
    taken = exchange.take(0)
    assert taken is not None
    assert (taken.lane, taken.ticket) == ("b", 0)
    exchange.add("a")
    exchange.replace(pending(5, "a"))
    taken = exchange.take(0)
    assert taken is not None
    assert (taken.lane, taken.ticket) == ("a", 0)  # whoever comes begins anew
    assert exchange.remove("c") is None


def test_a_file_that_waits_is_woken_when_its_camera_goes() -> None:
    exchange: Exchange[str] = Exchange("a")
    exchange.offer(pending(1), 0)
    results: list[bool] = []
    thread = threading.Thread(
        target=lambda: results.append(exchange.offer(pending(2), 60)), daemon=True
    )
    thread.start()
    wait_until_blocked(thread)
    exchange.remove("a")
    thread.join(10)
    assert results == [False]
