"""Lines for programs: all of them while somebody reads, none of them by half."""

from __future__ import annotations

import json
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import SystemClock
from appliance.sinks.jsonl import JsonlOutlet
from appliance.sinks.queue.backlog import FRAMES
from appliance.sinks.queue.queued_sink import QueuedSink
from tests.helpers import small_disk, wait_for
from tests.test_backlog import message

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.reports.outgoing import Outgoing


def line(number: int, size: int = 10) -> Outgoing:
    payload = json.dumps({"n": number, "pad": "x" * size}).encode()
    return message("detections", payload=payload)


def numbers(text: bytes) -> list[int]:
    return [json.loads(one)["n"] for one in text.splitlines()]


def texts(sink: QueuedSink) -> list[str]:
    return [text for _, _, text in sink.problems()]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.sinks.queue.queued_sink.RETRY_SECONDS", 0.01)


def test_every_detections_message_is_a_line_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for first in (0, 500):  # what is there stays
        sink = QueuedSink(JsonlOutlet(str(path)), SystemClock())
        for number in range(first, first + 500):
            sink.put(line(number))
            sink.put(message("metrics"))
        sink.close()
    assert numbers(path.read_bytes()) == list(range(1000))


def test_a_folder_that_is_not_there_is_told_and_used_when_it_is(tmp_path: Path) -> None:
    path = tmp_path / "none" / "out"
    sink = QueuedSink(JsonlOutlet(str(path)), SystemClock())
    sink.put(line(0))
    wait_for(lambda: texts(sink) == ["jsonl: No such file or directory"])
    path.parent.mkdir()
    wait_for(lambda: sink.tally().handled == 1)
    assert sink.problems() == ()
    sink.close()
    assert numbers(path.read_bytes()) == [0]


def test_a_pipe_that_nobody_opened_yet_holds_nobody(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sink = QueuedSink(JsonlOutlet(str(pipe)), SystemClock())
    sink.put(line(0))
    assert sink.tally().waiting == 1
    wait_for(lambda: sink.heartbeat.waiting_for == "its opening")
    reader = os.open(pipe, os.O_RDONLY)
    assert numbers(os.read(reader, 1 << 16)) == [0]
    sink.close()
    os.close(reader)


def test_a_reader_that_stops_loses_the_oldest_and_gets_the_rest_when_it_goes_on(
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = QueuedSink(JsonlOutlet(str(pipe)), SystemClock())
    count = 4 * FRAMES
    for number in range(count):  # a pipe holds 64 KiB
        sink.put(line(number, size=200))
    wait_for(lambda: sink.heartbeat.waiting_for == "a write")
    dropped = sink.tally().dropped
    assert dropped > 0
    assert texts(sink) == [f"jsonl: is too slow ({dropped} messages lost)"]
    got: list[int] = []
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as lines:
        while len(got) < count - dropped:
            got += numbers(lines.readline())
    sink.close()
    assert got == sorted(set(got))
    assert got[-1] == count - 1
    assert sink.tally().handled == count - dropped


def test_a_reader_that_goes_is_told_and_the_next_one_gets_whole_lines(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = QueuedSink(JsonlOutlet(str(pipe)), SystemClock())
    sink.put(line(0, size=1 << 17))  # more than a pipe holds: it stands half written
    wait_for(lambda: sink.heartbeat.waiting_for == "a write" and len(os.read(reader, 9)) == 9)
    os.close(reader)
    wait_for(lambda: texts(sink) == ["jsonl: Broken pipe"])
    with pipe.open("rb") as lines:
        assert numbers(lines.readline()) == [0]
    sink.close()


def test_a_write_that_is_cut_short_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    outlet = JsonlOutlet(str(path))
    outlet.open()
    written = 0
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # stands for a disk's end
        with pytest.raises(OSError, match="File too large"):
            for number in range(100):
                outlet.handle(line(number))
                written += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert numbers(path.read_bytes()) == list(range(written))
    outlet.handle(line(written))
    outlet.close()
    assert numbers(path.read_bytes()) == list(range(written + 1))


def test_a_full_disk_is_told_and_written_again_when_there_is_room(tmp_path: Path) -> None:
    with small_disk("tmpfs", tmp_path) as disk:
        path = disk.folder / "out.jsonl"
        sink = QueuedSink(JsonlOutlet(str(path)), SystemClock())
        sink.put(line(0))
        wait_for(lambda: sink.tally().handled == 1)
        disk.fill()
        for number in range(1, 200):
            sink.put(line(number, size=100))
        wait_for(lambda: texts(sink) == ["jsonl: No space left on device"])
        assert path.read_bytes().endswith(b"\n")
        disk.free()
        wait_for(lambda: sink.tally().handled == 200)
        assert sink.problems() == ()
        sink.close()
        assert numbers(path.read_bytes()) == list(range(200))


@given(
    sizes=st.lists(st.integers(1, 60), max_size=40),
    most=st.integers(1, 100),
    keep=st.integers(1, 4),
    restarts=st.sets(st.integers(0, 40)),
)
def test_files_are_turned_over_at_their_size_and_hold_the_newest_lines_in_order(
    sizes: list[int],
    most: int,
    keep: int,
    restarts: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("lines") / "out"
    outlet = JsonlOutlet(str(path), most, keep)
    outlet.open()
    lines = [b"%02d" % n + b"x" * size for n, size in enumerate(sizes)]
    for number, one in enumerate(lines):
        if number in restarts:
            outlet.close()
            outlet.open()
        outlet.handle(message("detections", payload=one))
    outlet.close()
    files = [path.with_name(f"out.{n}") for n in range(keep + 1, 0, -1)] + [path]
    there = [one for one in files if one.exists()]
    assert len(there) <= keep + 1
    for file in there:
        content = file.read_bytes()
        assert len(content) <= most or content.count(b"\n") == 1
    found = b"".join(file.read_bytes() for file in there).splitlines()
    assert found == lines[len(lines) - len(found) :]
    if len(there) <= keep:  # nothing was removed
        assert found == lines


def test_a_link_stays_a_link_when_its_file_is_turned_over(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "disk" / "real")
    outlet = JsonlOutlet(str(link), 30, 2)
    outlet.open()
    for number in range(3):
        outlet.handle(line(number))
    outlet.close()
    assert link.is_symlink()
    assert {one.name for one in (tmp_path / "disk").iterdir()} == {"real", "real.1", "real.2"}


def test_standard_output_is_never_turned_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outlet = JsonlOutlet("-", 1, 1)
    outlet.open()
    for number in range(3):
        outlet.handle(line(number))
    outlet.close()
    assert numbers(capfd.readouterr().out.encode()) == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []
