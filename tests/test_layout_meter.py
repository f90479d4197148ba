"""Trying layouts: turns within a budget, the rate of all workers, and failures as reasons."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from appliance.clock import ManualClock
from appliance.errors import DetectorError
from appliance.selection import Prover, WorkerLayout
from appliance.selection.layout_meter import LayoutMeter
from appliance.selection.worker_layout import Trial
from tests.fakes.in_process import CAT, InProcess
from tests.helpers import seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.models import Model
    from appliance.values import Detections

ONE, TWO = WorkerLayout(1, 2), WorkerLayout(1, 1)


class Bench:
    """A meter on a manual clock; judging is as real as the accelerator."""

    def __init__(self, before_turn: Callable[[], None] = lambda: None) -> None:
        self.clock = ManualClock()
        self.stop = threading.Event()
        self.accelerator = InProcess("fast", self.clock)
        self.reference = InProcess("cpu", self.clock, seconds=0.0)
        self.turns: list[int] = []

        def note() -> None:
            self.turns.append(len(self.accelerator.made))
            before_turn()

        prover = Prover(self.reference, self.clock)
        self.meter = LayoutMeter(prover, self.clock, self.stop, note)

    def measure(self, model: Model, *layouts: WorkerLayout, budget: float = 100.0) -> list[Trial]:
        found = self.meter.measure(self.accelerator, model, model, layouts, budget)
        assert self.accelerator.all_closed()
        return list(found)


def test_the_rate_is_that_of_frames_between_two_stamps(default_model: Model) -> None:
    """Ten frames a second for 0.6 s, after two to warm up; the first turn is judged too."""
    bench = Bench()
    (trial,) = bench.measure(default_model, WorkerLayout(1, 3))
    assert trial == Trial(workers=1, threads=3, fps=10.0, frame_ms=100.0)
    assert [one.inferences for one in bench.accelerator.made] == [2 + 2 + 6, 2 + 6, 2 + 6]
    assert {one.threads for one in bench.accelerator.made} == {3}


def test_figures_are_rounded(default_model: Model) -> None:
    bench = Bench()
    bench.accelerator.seconds = 0.0123456
    (trial,) = bench.measure(default_model, ONE, budget=0)
    assert (trial.fps, trial.frame_ms) == (81.0, 12.346)
    bench.accelerator.seconds = 0.03
    (trial,) = bench.measure(default_model, ONE, budget=0)
    assert (trial.fps, trial.frame_ms) == (33.33, 30.0)


def test_a_frame_is_resized_inferred_and_decoded(default_model: Model) -> None:
    asked = []
    bench = Bench()

    def sees(number: int) -> Detections:
        asked.append(number)
        return seen(CAT)

    bench.accelerator.sees = sees
    bench.measure(default_model, ONE, budget=0)
    detector = bench.accelerator.made[0]
    assert asked == list(range(detector.inferences))
    assert detector.picture.any()


def test_each_layout_has_three_turns_and_they_take_turns(default_model: Model) -> None:
    bench = Bench()
    trials = bench.measure(default_model, ONE, TWO)
    assert [trial.layout for trial in trials] == [ONE, TWO]
    assert [one.threads for one in bench.accelerator.made] == [2, 1, 2, 1, 2, 1]
    assert bench.turns == [0, 1, 2, 3, 4, 5]  # told before each, with nothing open yet


def test_the_median_of_the_turns_counts(default_model: Model) -> None:
    speeds = iter((0.1, 0.05, 0.2))
    bench = Bench(lambda: setattr(bench.accelerator, "seconds", next(speeds)))
    (trial,) = bench.measure(default_model, ONE)
    assert trial == Trial(workers=1, threads=2, fps=10.0, frame_ms=100.0)


@pytest.mark.parametrize(("budget", "turns"), [(0.0, 1), (0.99, 1), (1.01, 2), (1.81, 3)])
def test_only_whole_rounds_within_the_budget(
    budget: float, turns: int, default_model: Model
) -> None:
    """The first turn takes 1.0 s (two pictures, two to warm up, 0.6 s), the next 0.8 s."""
    bench = Bench()
    bench.measure(default_model, ONE, budget=budget)
    assert len(bench.accelerator.made) == turns


def test_a_budget_that_is_just_spent_is_spent(default_model: Model) -> None:
    bench = Bench()
    bench.measure(default_model, ONE, budget=1.0)
    assert len(bench.accelerator.made) == 1


def test_what_happens_before_a_turn_costs_no_budget(default_model: Model) -> None:
    bench = Bench(lambda: bench.clock.advance(50.0))
    bench.measure(default_model, ONE, budget=5.0)
    assert len(bench.accelerator.made) == 3


def test_every_layout_gets_a_turn_whatever_it_costs(default_model: Model) -> None:
    bench = Bench()
    bench.accelerator.seconds = 30.0
    assert len(bench.measure(default_model, ONE, TWO, WorkerLayout(1, 4), budget=1.0)) == 3


def test_all_workers_count_together(default_model: Model) -> None:
    bench = Bench()
    bench.accelerator.seconds = 0.0
    barrier = threading.Barrier(2)

    def sees(number: int) -> Detections:
        if number >= 4:  # judged and warm: both go on side by side from here on
            with_other = barrier.wait(10)
            if with_other == 0:
                bench.clock.advance(0.1)
            barrier.wait(10)
        return seen(CAT)

    # Not judged: both detectors have the same numbers.
    bench.meter._prover.judge = lambda *_: (True, "")  # type: ignore[method-assign]
    bench.accelerator.sees = lambda number: sees(number + 2)
    (trial,) = bench.measure(default_model, WorkerLayout(2, 1), budget=0)
    assert trial.workers == 2
    assert trial.fps == pytest.approx(20.0)
    assert trial.frame_ms == pytest.approx(100.0)


def test_what_sees_something_else_is_wrong_and_not_tried_again(default_model: Model) -> None:
    bench = Bench()
    bench.accelerator.sees = lambda _: seen()
    wrong, _ = bench.measure(default_model, ONE, TWO)
    assert wrong.layout == ONE
    assert (wrong.fps, wrong.frame_ms) == (0, 0)
    assert "the reference sees label 17" in wrong.wrong
    assert len(bench.accelerator.made) == 2
    assert len(bench.turns) == 2


def test_what_fails_later_speaks_for_all_its_turns(default_model: Model) -> None:
    bench = Bench(lambda: setattr(bench.accelerator, "opens", int(len(bench.turns) < 2)))
    (trial,) = bench.measure(default_model, ONE)
    assert trial == Trial(workers=1, threads=2, fps=0, frame_ms=0, wrong="only 0 can be open")
    assert len(bench.turns) == 2


def test_one_layout_that_fails_is_no_reason_to_give_up_the_others(default_model: Model) -> None:
    bench = Bench()
    bench.accelerator.opens = 2
    bad, good = bench.measure(default_model, WorkerLayout(3, 1), ONE)
    assert (bad.workers, bad.threads, bad.wrong) == (3, 1, "only 2 can be open")
    assert (good.wrong, good.fps) == ("", 10.0)
    assert len(bench.turns) == 4


@pytest.mark.parametrize("error", [DetectorError("it broke"), ZeroDivisionError("it broke")])
@pytest.mark.parametrize("after", [2, 3, 5])
def test_whatever_breaks_while_it_runs_is_the_reason(
    after: int, error: Exception, default_model: Model
) -> None:
    bench = Bench()
    bench.meter._prover.judge = lambda *_: (True, "")  # type: ignore[method-assign]
    bench.accelerator.seconds = 0.0  # both move the one clock: it would end the turn before
    bench.accelerator.inferences_until_error = after
    bench.accelerator.error = error
    (trial,) = bench.measure(default_model, WorkerLayout(2, 1))
    assert trial.wrong == "it broke"
    assert len(bench.accelerator.made) == 2


def test_giving_up_early_keeps_what_was_measured(default_model: Model) -> None:
    bench = Bench(lambda: bench.stop.set() if len(bench.turns) == 2 else None)
    trials = bench.measure(default_model, ONE, TWO)
    assert [trial.layout for trial in trials] == [ONE]
    assert len(bench.turns) == 2
    assert len(bench.accelerator.made) == 1


def test_stopped_before_it_began_nothing_is_measured(default_model: Model) -> None:
    bench = Bench()
    bench.stop.set()
    assert bench.measure(default_model, ONE) == []
    assert bench.turns == []


def test_a_worker_that_hangs_is_refused(
    default_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.selection.layout_meter.START_SECONDS", 0.1)
    bench, gate = Bench(), threading.Event()
    bench.meter._prover.judge = lambda *_: (True, "")  # type: ignore[method-assign]

    def hang(_: int) -> Detections:
        gate.wait(30)
        return seen()

    bench.accelerator.sees = hang
    before = set(threading.enumerate())
    (trial,) = bench.measure(default_model, ONE)
    hanging = set(threading.enumerate()) - before
    gate.set()
    assert [one.daemon for one in hanging] == [True]  # the process can end all the same
    assert trial.wrong == "no frame within 0.1 s"
