"""What does MQTT notice when the reader of ``jsonl`` stops? A real daemon, a real broker, a pipe.

Usage: python scripts/stopped_reader.py [SECONDS]

Prints the detections a second over MQTT for SECONDS (60) each while lines are read, while they are
not, and while they are again; how soon health names the sink, and that it is over; then, with the
reader stopped once more, how long SIGTERM takes. Exit code 1 where the rate without a reader is
less than nine tenths of the mean of the others, or a bound is missed: named within 5 s, ended
within 2 s.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from appliance.cli.demo_broker import start_broker
from tests.helpers import Subscriber, wait_for
from tests.test_daemon import Systemd, Unit

NAMED_SECONDS, END_SECONDS = 5.0, 2.0


class Reader:
    """Reads a pipe, unless told not to."""

    def __init__(self, pipe: Path) -> None:
        self._file = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.reads = threading.Event()
        self.reads.set()
        self.lines = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.reads.wait()
            try:
                self.lines += os.read(self._file, 1 << 16).count(b"\n")
            except BlockingIOError:
                pause.wait(0.01)


def rate(subscriber: Subscriber, seconds: float) -> float:
    """Return the detections a second over MQTT."""
    before, began = count(subscriber), time.monotonic()
    threading.Event().wait(seconds)
    return (count(subscriber) - before) / (time.monotonic() - began)


def count(subscriber: Subscriber) -> int:
    """Return how many detections came."""
    return sum(one.topic.endswith("/detections") for one in list(subscriber.messages))


def named(subscriber: Subscriber) -> bool:
    """Say whether the newest health message names the sink."""
    messages = subscriber.of("health")
    return bool(messages) and any("jsonl" in reason for reason in messages[-1]["reasons"])


def main() -> int:
    """Run it."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    broker = start_broker("mosquitto")
    subscriber = Subscriber(broker.port)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipe = folder / "pipe"
        os.mkfifo(pipe)
        reader = Reader(pipe)
        unit = Unit(folder, broker.port, Systemd(folder))
        unit.configure(more=f'[sinks.jsonl]\npath = "{pipe}"')
        unit.start(watchdog_seconds=20)
        wait_for(lambda: count(subscriber) > 40 and not named(subscriber), 60)
        before = rate(subscriber, seconds)
        reader.reads.clear()
        lines = reader.lines
        wait_for(lambda: fills(subscriber), 120)
        filled = time.monotonic()
        wait_for(lambda: named(subscriber), 30)
        told = time.monotonic() - filled
        during = rate(subscriber, seconds)
        waiting = subscriber.of("health")[-1]["sinks"]["jsonl"]
        reader.reads.set()
        read_again = time.monotonic()
        wait_for(lambda: not named(subscriber), 30)
        over = time.monotonic() - read_again
        wait_for(lambda: reader.lines > lines + waiting["waiting"], 30)
        after = rate(subscriber, seconds)
        reader.reads.clear()
        wait_for(lambda: named(subscriber), 120)
        asked = time.monotonic()
        code, _ = unit.stop()
        ended = time.monotonic() - asked
        unit.close()
    subscriber.close()
    broker.stop()
    print(
        f"detections a second: {before:.2f} while read, {during:.2f} while not, {after:.2f} after"
    )
    print(f"health names the sink {told:.1f} s after the first line that waits: {waiting}")
    print(f"over {over:.1f} s after lines are read again; {reader.lines} lines read")
    print(f"SIGTERM with the reader stopped: exit code {code} after {ended:.2f} s")
    good = (
        during > 0.9 * (before + after) / 2
        and told <= NAMED_SECONDS
        and ended <= END_SECONDS
        and not code
    )
    return 0 if good else 1


def fills(subscriber: Subscriber) -> bool:
    """Say whether lines wait."""
    messages = subscriber.of("health")
    return bool(messages) and messages[-1]["sinks"]["jsonl"]["waiting"] > 1


if __name__ == "__main__":
    sys.exit(main())
