"""Lines for programs: all of them while somebody reads, and nobody is held when nobody does."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.clock import SystemClock
from appliance.errors import UnavailableError
from appliance.heartbeat import HangWatch
from appliance.sinks import Outgoing
from appliance.sinks.jsonl import LINES, JsonlSink
from tests.helpers import wait_for

if TYPE_CHECKING:
    from pathlib import Path


def line(number: int, kind: str = "detections", size: int = 10) -> Outgoing:
    payload = json.dumps({"n": number, "pad": "x" * size}).encode()
    return Outgoing(
        kind=kind,
        topic="front/detections",
        payload=payload,
        message=None,
        qos=0,
        retain=False,
        durable=False,
        expiry_seconds=None,
        handed_ns=0,
    )


def numbers(text: bytes) -> list[int]:
    return [json.loads(one)["n"] for one in text.splitlines()]


def test_every_detections_message_is_a_line_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(str(path))
    for number in range(500):
        sink.put(line(number))
        sink.put(line(-1, "metrics"))
    sink.close()
    sink.close()
    assert numbers(path.read_bytes()) == list(range(500))
    again = JsonlSink(str(path))
    again.put(line(500))
    again.close()
    assert numbers(path.read_bytes()) == list(range(501))


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"jsonl .*none/out: No such file"):
        JsonlSink(str(tmp_path / "none" / "out"))


def test_a_reader_that_stops_holds_nobody_and_loses_the_oldest(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonlSink(str(pipe))
    count = 4 * LINES
    for number in range(count):  # a pipe holds 64 KiB
        sink.put(line(number, size=200))
    wait_for(lambda: sink.heartbeat.waiting_for == "a write")
    assert sink.dropped > 0
    assert sink.problems() == (
        ("sink", str(pipe), f"jsonl {pipe}: its reader is too slow ({sink.dropped} lines dropped)"),
    )
    assert sink.problems() == ()
    watch, now_ns = HangWatch(), SystemClock().monotonic_ns()
    watch.look((sink.heartbeat,), now_ns + 5_000_000_000)
    (hang,) = watch.look((sink.heartbeat,), now_ns + 6_000_000_000)
    assert hang.text == f"jsonl {pipe}: hangs in a write"
    assert sink.may_hang

    os.set_blocking(reader, True)
    read: list[bytes] = []

    def drain() -> None:
        while chunk := os.read(reader, 1 << 16):
            read.append(chunk)

    draining = threading.Thread(target=drain)
    draining.start()
    sink.close()
    draining.join(10)
    os.close(reader)
    got = numbers(b"".join(read))
    assert got == sorted(set(got))
    assert got[-1] == count - 1
    assert len(got) == count - sink.dropped


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # stands for a disk's end
        for number in range(100):
            sink.put(line(number))
        wait_for(lambda: any("File too large" in text for _, _, text in sink.problems()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    wait_for(lambda: sink.problems() == ())
    sink.close()
    assert numbers(path.read_bytes()) == list(range(100))


def test_closing_does_not_wait_for_a_reader_that_stopped(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonlSink(str(pipe))
    for number in range(LINES):
        sink.put(line(number, size=200))
    sink.close()
    assert not sink.heartbeat.ended
    sink.put(line(0))
    os.close(reader)
    wait_for(lambda: sink.heartbeat.ended)
