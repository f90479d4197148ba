"""The outbox on disks that are full, damaged or gone: no alert is lost, none is sent twice."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.pipeline import CameraEvent
from appliance.sinks.mqtt.connection import BrokerAddress
from appliance.sinks.mqtt.sink import MqttSink
from appliance.sinks.outbox.outbox import RETRY_SECONDS, Outbox
from tests.helpers import Gate, SmallDisk, Subscriber, small_disk, wait_for
from tests.scripted import stage
from tests.test_daemon import Systemd, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.demo_broker import DemoBroker
    from appliance.reports.outgoing import Outgoing

TOPIC = "appliance/unit-1/alerts"


class Seconds:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Relay:
    """Hands on to the sink of the present process."""

    def __init__(self, now: list[MqttSink]) -> None:
        self._now = now

    def put(self, outgoing: Outgoing) -> None:
        self._now[0].put(outgoing)

    def end(self) -> None:
        pass

    def close(self) -> None:
        pass


def drain(outbox: Outbox) -> list[bytes]:
    """Acknowledge everything, in order."""
    found: list[bytes] = []
    while (one := outbox.after(0)) is not None:
        found.append(one.payload)
        outbox.remove(one.number)
        assert len(found) < 10_000, "the same message without end"
    return found


def fill_with(outbox: Outbox, *payloads: bytes) -> None:
    for payload in payloads:
        outbox.add(TOPIC, payload, 60)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(request.param, tmp_path) as one:
        yield one


def test_what_is_acknowledged_on_a_full_disk_is_not_sent_by_the_next_process(
    disk: SmallDisk,
) -> None:
    path = disk.folder / "state" / "outbox.sqlite"
    outbox = Outbox(path, 100)
    fill_with(outbox, b"0", b"1", b"2", b"3")
    outbox.close()
    disk.fill()
    code = (
        "import os, sys; from pathlib import Path\n"
        "from appliance.sinks.outbox.outbox import Outbox\n"
        "o = Outbox(Path(sys.argv[1]), 100)\n"
        "for number in (1, 2, 4): o.remove(number)\n"
        "print(o.size(), o.problem); sys.stdout.flush(); os._exit(9)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert child.returncode == 9, child.stderr
    assert child.stdout == "(1, 1) database or disk is full: messages wait in memory only\n"
    for _ in range(2):  # still full
        outbox = Outbox(path, 100)
        assert [one.payload for one in (outbox.after(0),) if one] == [b"2"]
        assert outbox.size() == (1, 1)
        outbox.close()
    disk.free()
    outbox = Outbox(path, 100)
    assert outbox.problem == ""
    fill_with(outbox, b"4")
    outbox.close()
    (path.with_suffix(".delivered")).unlink()  # it has been deleted from the database by now
    outbox = Outbox(path, 100)
    assert drain(outbox) == [b"2", b"4"]
    assert outbox.dropped == 0
    outbox.close()


def test_a_full_disk_costs_the_copy_and_not_the_message(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Seconds()
    path = disk.folder / "state" / "outbox.sqlite"
    outbox = Outbox(path, 3, clock)
    fill_with(outbox, b"0")
    disk.fill()
    fill_with(outbox, *(b"%04d" % n + bytes(5000) for n in range(1, 5)))
    assert "disk is full" in outbox.problem
    assert outbox.size()[0] == 3
    assert outbox.dropped == 2  # by the limit
    assert len(caplog.records) == 1
    disk.free()
    outbox.catch_up()
    assert outbox.problem, "it is not tried at every frame"
    clock.now += RETRY_SECONDS
    outbox.catch_up()
    assert outbox.problem == ""
    outbox.close()
    outbox = Outbox(path, 3)
    assert [one[:4] for one in drain(outbox)] == [b"0002", b"0003", b"0004"]
    outbox.close()


def test_a_start_on_a_full_disk_goes_on_in_memory(disk: SmallDisk) -> None:
    clock = Seconds()
    disk.fill()
    path = disk.folder / "state" / "outbox.sqlite"
    outbox = Outbox(path, 100, clock)
    fill_with(outbox, b"0", b"1")
    assert outbox.problem
    one = outbox.after(0)
    assert one is not None
    outbox.remove(one.number)
    disk.free()
    clock.now += RETRY_SECONDS
    outbox.catch_up()
    assert outbox.problem == ""
    outbox.close()
    outbox = Outbox(path, 100)
    assert drain(outbox) == [b"1"]
    outbox.close()


def test_every_alert_arrives_once_though_the_disk_was_full(
    disk: SmallDisk, broker: DemoBroker
) -> None:
    """The whole way: alerts while the broker is away, a full disk, the broker back, restarts."""
    subscriber, gate = Subscriber(broker.port), Gate(broker.port)
    path = disk.folder / "state" / "outbox.sqlite"
    reasons: list[str] = []
    now: list[MqttSink] = []
    reporter = stage(Relay(now)).reporter  # one, so that each alert has an id of its own

    def start() -> MqttSink:
        address = BrokerAddress("127.0.0.1", gate.port, "unit-1")
        sink = MqttSink(address, "appliance/unit-1", Outbox(path, 1000))
        sink.start()
        now[:] = [sink]
        return sink

    def alert(reason: str) -> None:
        reporter.camera_event(CameraEvent("front", "camera_lost", reason=reason))
        reasons.append(reason)

    def arrived() -> list[str]:
        return [one["reason"] for one in subscriber.of("alerts")]

    sink = start()
    for number in range(5):
        alert(f"room {number}")
    sink.close()
    sink = start()
    disk.fill()
    for number in range(30):
        alert(f"full {number}" + "x" * 2000)
    wait_for(lambda: any("disk is full" in words for _, _, words in sink.problems()))
    gate.open()
    wait_for(lambda: len(arrived()) == 35, 30)
    wait_for(lambda: now[0].outbox_state() == (0, 0, 0))
    alert("connected")
    wait_for(lambda: arrived() == reasons)
    wait_for(lambda: now[0].outbox_state() == (0, 0, 0))
    for number in range(2):  # the disk is still full, and the daemon starts again
        sink.close()
        sink = start()
        alert(f"restart {number}")
        wait_for(lambda: arrived() == reasons, 30)
        wait_for(lambda: now[0].outbox_state() == (0, 0, 0))
    disk.free()
    wait_for(lambda: not sink.problems(), 2 * RETRY_SECONDS)
    sink.close()
    gate.shut()
    sink = start()
    alert("room again")
    sink.close()
    gate.open()
    sink = start()
    wait_for(lambda: len(arrived()) == len(reasons), 30)
    wait_for(lambda: now[0].outbox_state() == (0, 0, 0))
    assert arrived() == reasons
    ids = [one["id"] for one in subscriber.of("alerts")]
    assert len(ids) == len(set(ids))
    sink.close()
    gate.shut()
    subscriber.close()


def test_no_statement_is_run_for_a_frame(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", 10)
    fill_with(outbox, b"0")
    assert outbox._file is not None
    assert outbox._file._database is not None
    said: list[str] = []
    outbox._file._database.set_trace_callback(said.append)
    for _ in range(100):
        assert outbox.after(0) is not None
        assert outbox.after(1) is None
        outbox.catch_up()
    assert said == []
    outbox.close()


def test_a_table_that_vanishes_under_it_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, 3)
    fill_with(outbox, b"given up", b"0", b"1", b"2")
    for lost in range(2):
        outbox.remove(4 + lost)
        assert outbox._file is not None
        assert outbox._file._database is not None
        outbox._file._database.execute("DROP TABLE waiting")
        fill_with(outbox, b"2")
        assert outbox.problem == ""
        assert outbox.dropped == 1  # nothing more is given up for it
    outbox.remove(3)
    outbox.close()
    assert path.with_suffix(".damaged").exists()
    outbox = Outbox(path, 10)
    assert drain(outbox) == [b"0", b"2"]
    outbox.close()


@pytest.mark.parametrize("name", ["outbox.sqlite", "outbox.sqlite-wal", "outbox.delivered"])
def test_a_link_in_its_place_leads_nowhere(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    path = tmp_path / "outbox.sqlite"
    (tmp_path / name).symlink_to(victim)
    outbox = Outbox(path, 10)
    fill_with(outbox, b"0")
    assert outbox.problem == ""
    assert victim.read_bytes() == b""
    outbox.close()
    assert victim.read_bytes() == b""


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "folder").symlink_to("theirs")
    outbox = Outbox(tmp_path / "folder" / "outbox.sqlite", 10)
    fill_with(outbox, b"0")
    assert "is a link" in outbox.problem
    assert list((tmp_path / "theirs").iterdir()) == []
    assert drain(outbox) == [b"0"]
    outbox.close()


def test_a_folder_that_cannot_be_made_costs_the_copy_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outbox = Outbox(tmp_path / "file" / "outbox.sqlite", 10)
    fill_with(outbox, b"0")
    assert outbox.problem
    assert drain(outbox) == [b"0"]
    outbox.close()


def test_two_processes_do_not_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    first = Outbox(path, 10)
    fill_with(first, b"0")
    clock = Seconds()
    second = Outbox(path, 10, clock)
    assert "locked" in second.problem
    fill_with(second, b"1")
    first.close()
    clock.now += RETRY_SECONDS
    second.catch_up()
    assert second.problem == ""
    assert sorted(drain(second)) == [b"0", b"1"]
    second.close()


Rows = dict[int, tuple[object, ...]]


def plainly_readable(path: Path, numbers: range) -> Rows:
    """Return the rows that SQLite finds, asked for one by one."""
    found = {}
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    database.text_factory = bytes
    for number in numbers:
        with contextlib.suppress(sqlite3.Error, ValueError):
            one = database.execute("SELECT * FROM waiting WHERE number = ?", (number,)).fetchone()
            if one is not None:
                found[number] = one
    database.close()
    return found


def damage(rng: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    kind = rng.choice(("zeros", "noise", "bits", "cut", "pages", "longer", "header"))
    at = rng.randrange(len(data))
    size = rng.choice((1, 8, 100, 600, 4096))
    if kind == "zeros":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif kind == "noise":
        data[at : at + size] = rng.randbytes(len(data[at : at + size]))
    elif kind == "bits":
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "pages":
        one, other = (4096 * rng.randrange(len(data) // 4096) for _ in range(2))
        data[one : one + 4096] = whole[other : other + 4096]
    elif kind == "longer":
        data += rng.randbytes(size)
    else:
        data[rng.randrange(100)] ^= 1 << rng.randrange(8)
    return bytes(data)


def waiting_in(outbox: Outbox) -> list[bytes]:
    """Return all payloads, in order."""
    found, number = [], 0
    while (one := outbox.after(number)) is not None:
        assert one.topic == TOPIC
        assert one.expiry_seconds == 60
        found.append(one.payload)
        number = one.number
    return found


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in RAM, where there is one: a thousand files are written to the disk there."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it has a name of its own
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def test_a_thousand_damaged_files_cost_what_is_damaged_only(quick_folder: Path) -> None:
    rng = random.Random(20261125)  # noqa: S311 - damage, no secret
    known = {
        row: json.dumps({"id": row, "text": "x" * rng.choice((50, 300, 900, 9000))}).encode()
        for row in range(1, 41)
    }
    folder = quick_folder / "whole"
    outbox = Outbox(folder / "outbox.sqlite", 1000)
    fill_with(outbox, *known.values())
    outbox.close()
    whole = (folder / "outbox.sqlite").read_bytes()
    record = (folder / "outbox.delivered").read_bytes()
    written = plainly_readable(folder / "outbox.sqlite", range(1, 41))
    assert [row[2] for row in written.values()] == list(known.values())
    worse = 0
    for number in range(1000):
        folder = quick_folder / str(number)
        folder.mkdir()
        path = folder / "outbox.sqlite"
        path.write_bytes(damage(rng, whole))
        (folder / "outbox.delivered").write_bytes(
            damage(rng, record) if number % 10 == 0 else record
        )
        found = plainly_readable(path, range(1, 41))
        readable = {known[row] for row in found if found[row] == written[row]}
        outbox = Outbox(path, 1000)
        kept = waiting_in(outbox)
        assert set(kept) <= set(known.values())
        assert len(kept) == len(set(kept))
        assert readable <= set(kept)
        if len(kept) < len(known):
            worse += 1
            assert outbox.dropped
        assert outbox.problem == ""
        fill_with(outbox, b"afterwards")
        outbox.close()
        outbox = Outbox(path, 1000)
        assert waiting_in(outbox) == [*kept, b"afterwards"]
        assert outbox.dropped == 0
        outbox.close()
        shutil.rmtree(folder)
    assert worse > 100


def test_a_killed_process_whose_log_is_damaged(tmp_path: Path) -> None:
    """What was written last is lost then; the rest is not, and nothing is raised."""
    path = tmp_path / "outbox.sqlite"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from appliance.sinks.outbox.outbox import Outbox\n"
        "o = Outbox(Path(sys.argv[1]), 100)\n"
        "for number in range(20): o.add('t', b'%d' % number, None)\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    log = path.with_name(f"{path.name}-wal")
    whole, body = log.read_bytes(), path.read_bytes()
    rng = random.Random(1)  # noqa: S311 - damage, no secret
    for _ in range(100):
        log.write_bytes(damage(rng, whole))
        path.write_bytes(body)
        outbox = Outbox(path, 100)
        kept = drain(outbox)
        assert kept == [b"%d" % number for number in range(len(kept))]
        assert outbox.problem == ""
        outbox.close()
        for one in tmp_path.iterdir():
            one.unlink()


def test_answers_out_of_order_are_remembered_on_a_full_disk(disk: SmallDisk) -> None:
    path = disk.folder / "state" / "outbox.sqlite"
    outbox = Outbox(path, 100)
    fill_with(outbox, *(b"%d" % number for number in range(8)))
    disk.fill()
    for number in (5, 2, 1, 7):
        outbox.remove(number)
    outbox.close()
    left = [b"2", b"3", b"5", b"7"]
    outbox = Outbox(path, 100)
    assert waiting_in(outbox) == left
    outbox.remove(1)
    outbox.close()
    outbox = Outbox(path, 100)
    assert waiting_in(outbox) == left[1:]
    outbox.close()
    disk.free()
    outbox = Outbox(path, 100)
    assert waiting_in(outbox) == left[1:]
    outbox.close()


def test_a_daemon_that_is_killed_on_a_full_disk_sends_what_waits_once(
    disk: SmallDisk, broker: DemoBroker, tmp_path: Path
) -> None:
    """Twelve alerts wait, the disk is full, the broker is there; four lives of the real process."""
    subscriber = Subscriber(broker.port)
    unit = Unit(tmp_path, broker.port, Systemd(tmp_path), runtime=disk.folder / "run")
    outbox = Outbox(disk.folder / "run" / f"outbox-{unit.device}.sqlite", 100)
    for number in range(12):
        outbox.add(f"appliance/{unit.device}/alerts", b'{"id": "a-%d"}' % number, None)
    outbox.close()
    disk.fill()
    unit.configure()
    wanted: list[int] = []
    with contextlib.closing(unit):
        for life in range(4):
            process = unit.start()
            wanted.append(len(subscriber.of("front/detections")) + 10)
            wait_for(lambda: len(subscriber.of("front/detections")) > wanted[-1], 30)
            wait_for(lambda: len(subscriber.of("alerts")) >= 12)
            wait_for(
                lambda: (subscriber.of("health") or [{}])[-1].get("outbox", {})["messages"] == 0
            )
            if life % 2:
                assert unit.stop()[0] == 0
            else:
                process.kill()
                process.wait()
                unit.process = None
    arrived = [one["id"] for one in subscriber.of("alerts")]
    assert len(set(arrived)) == len(arrived)
    waited = [one for one in arrived if one.startswith("a-")]
    assert waited == [f"a-{number}" for number in range(12)]
    others = [one for one in subscriber.of("alerts") if one["id"] not in waited]
    assert {(one["kind"], one["problem"]) for one in others} == {("problem_began", "outbox")}
    subscriber.close()
