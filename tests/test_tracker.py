"""The tracker keeps identities where truth is known, and survives everything else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.objects.tracker import Track, Tracker
from appliance.values import Detections
from tests.moving import HEIGHT, WIDTH, Eyes, Walker, seen

ASPECT = WIDTH / HEIGHT


def follow(
    walkers: tuple[Walker, ...], fps: float, seconds: float, eyes: Eyes
) -> list[tuple[float, list[Track]]]:
    tracker = Tracker()
    return [
        (at, step(tracker, eyes.look(walkers, at), at))
        for at in np.arange(1 / fps, seconds, 1 / fps).tolist()
    ]


def step(tracker: Tracker, found: Detections, at: float) -> list[Track]:
    return tracker.step(found, found.scores >= 0.5, aspect=ASPECT, now_ns=round(at * 1e9))


def names(looks: list[tuple[float, list[Track]]], walker: Walker) -> set[int]:
    """Return the tracks that were ever where a walker was."""
    found = set()
    for at, tracks in looks:
        truth = walker.box(at)
        if truth is None:
            continue
        for track in tracks:
            if track.seen and all(
                abs(a - b) < 0.4 * side
                for a, b, side in zip(
                    track.box, truth, (walker.width, walker.height) * 2, strict=True
                )
            ):
                found.add(track.number)
    return found


@pytest.mark.parametrize("fps", [2.5, 5.0, 15.0, 60.0])
def test_each_object_is_one_track_at_any_rate(fps: float) -> None:
    walkers = (
        Walker(0.05, 0.5, speed_x=0.09),
        Walker(0.95, 0.6, speed_x=-0.08),
        Walker(0.4, 0.95),
        Walker(0.8, 0.2, speed_x=-0.01, speed_y=0.005, height=0.1, width=0.03),
    )
    looks = follow(walkers, fps, 10, Eyes(3))
    assert [len(names(looks, one)) for one in walkers] == [1, 1, 1, 1]
    assert len({track.number for _, tracks in looks for track in tracks}) == 4


def test_two_who_meet_keep_their_names() -> None:
    there = Walker(0.2, 0.6, speed_x=0.1, height=0.25)
    back = Walker(0.8, 0.62, speed_x=-0.1, height=0.2)
    for seed in range(10):
        looks = follow((there, back), 15, 6, Eyes(seed))
        late = [(at, tracks) for at, tracks in looks if at > 1]
        assert len(names(late, there)) <= 2  # at the moment of meeting both are there
        first, last = looks[20][1], looks[-1][1]
        right = {one.number for one in first if one.box[0] > 0.5}
        assert {one.number for one in last if one.box[0] < 0.5} == right


def test_a_wild_box_is_no_object() -> None:
    tracker = Tracker()
    chance = np.random.default_rng(1)
    for at in range(1, 1001):
        corner = chance.uniform(0, 0.7, 2)
        box = np.concatenate([corner, corner + np.array([0.06, 0.2])])[None]
        found = seen(box, np.array([0.9]), np.array([1])) if at % 3 == 0 else None
        assert step(tracker, found or Detections.empty(), at / 15) == []


def test_what_is_hidden_for_a_moment_is_the_same_after_it() -> None:
    walker = Walker(0.1, 0.5, speed_x=0.08)
    tracker, eyes = Tracker(), Eyes(0, miss=0)
    numbers = set()
    for at in np.arange(0.1, 10, 0.1).tolist():
        hidden = 3 <= at < 5
        found = Detections.empty() if hidden else eyes.look((walker,), at)
        tracks = step(tracker, found, at)
        numbers |= {one.number for one in tracks}
        if hidden:
            (expected,) = tracks
            assert not expected.seen
            truth = walker.box(at)
            assert truth is not None
            assert expected.box[0] == pytest.approx(truth[0], abs=0.05)
    assert numbers == {1}


def test_what_is_gone_is_forgotten_after_its_memory() -> None:
    tracker, walker = Tracker(memory_seconds=2), Walker(0.5, 0.5, speed_x=0.05, end=2)
    eyes = Eyes(0, miss=0)
    there = [
        at for at in np.arange(0.1, 8, 0.1).tolist() if step(tracker, eyes.look((walker,), at), at)
    ]
    assert there[-1] == pytest.approx(2 - 0.1 + 2, abs=0.11)


def test_seldom_looks_do_not_end_an_object() -> None:
    """A motion gate looks every 5 s: more than the memory lies between two looks."""
    tracker, walker = Tracker(memory_seconds=1), Walker(0.5, 0.5)
    eyes = Eyes(0, miss=0)
    numbers = {
        one.number
        for look in range(1, 40)
        for one in step(tracker, eyes.look((walker,), look * 5), look * 5)
    }
    assert numbers == {1}


def test_a_label_is_what_most_looks_say() -> None:
    walker = Walker(0.1, 0.5, speed_x=0.05, label_id=18)
    looks = follow((walker,), 15, 10, Eyes(2, mistake=0.2))
    labels = [track.label_id for _, tracks in looks for track in tracks]
    assert {track.number for _, tracks in looks for track in tracks} == {1}
    assert labels.count(18) / len(labels) > 0.98


def test_two_labels_of_one_thing_are_one_object() -> None:
    tracker = Tracker()
    boxes = np.array([[0.4, 0.4, 0.6, 0.7], [0.405, 0.4, 0.6, 0.71]])
    found = seen(boxes, np.array([0.9, 0.8]), np.array([18, 17]))
    for at in range(1, 30):
        tracks = step(tracker, found, at / 10)
    assert [one.label_id for one in tracks] == [18]


def test_low_scores_go_on_with_an_object_and_begin_none() -> None:
    tracker = Tracker()
    box = np.array([[0.4, 0.4, 0.6, 0.7]])
    low = seen(box, np.array([0.4]), np.array([1]))
    high = seen(box, np.array([0.9]), np.array([1]))
    assert not any(step(tracker, low, at / 10) for at in range(1, 20))
    for at in range(20, 30):
        step(tracker, high, at / 10)
    for at in range(30, 60):
        (track,) = step(tracker, low, at / 10)
        assert track.seen
        assert track.score == pytest.approx(0.4)


def test_what_stands_still_stays_the_same_behind_what_passes() -> None:
    car = Walker(0.5, 0.7, height=0.15, width=0.2, label_id=3)
    tracker, eyes = Tracker(), Eyes(1, miss=0)
    for at in np.arange(0.1, 60, 0.1).tolist():
        truck = Walker(0.5, 0.72, height=0.3, width=0.5, label_id=8, begin=20, end=35)
        there = (truck,) if 20 <= at < 35 else (car,)
        tracks = step(tracker, eyes.look(there, at), at)
    (last,) = [one for one in tracks if one.seen]
    assert (last.number, last.label_id, last.stationary) == (1, 3, True)


BOXES = st.lists(
    st.tuples(
        st.floats(0, 0.99), st.floats(0, 0.99), st.floats(1e-6, 1), st.floats(1e-6, 1),
        st.floats(0, 1), st.integers(0, 5),
    ),
    max_size=5,
)  # fmt: skip


@given(st.lists(st.tuples(BOXES, st.floats(0, 100)), max_size=10), st.floats(0.2, 5))
def test_nothing_that_is_seen_breaks_it(
    looks: list[tuple[list[tuple[float, ...]], float]], aspect: float
) -> None:
    tracker, now = Tracker(), 0.0
    for rows, pause in looks:
        now += pause
        table = np.array(rows, np.float64).reshape(-1, 6)
        corners = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1)
        found = seen(corners, table[:, 4], table[:, 5])
        tracks = tracker.step(found, found.scores >= 0.5, aspect=aspect, now_ns=round(now * 1e9))
        numbers = [one.number for one in tracks]
        assert len(set(numbers)) == len(numbers)
        assert sum(one.seen for one in tracks) <= len(found)
        for one in tracks:
            assert np.isfinite(one.box).all()
            assert one.seen or one.score == 0
            assert not one.seen or one.last_ns == round(now * 1e9)
            assert 0 <= one.score <= 1
