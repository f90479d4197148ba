"""Which frames' detections are published: a rate is kept, a change is told, off is off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.reports.policy import Policy
from appliance.values.happened import Happened
from tests.moving import observation, seen

if TYPE_CHECKING:
    from appliance.values import Detections


def frame(at: float, *labels: int) -> Detections:
    boxes = np.tile([0.1, 0.1, 0.3, 0.4], (len(labels), 1))
    return seen(boxes, [0.9] * len(labels), list(labels))


@given(st.floats(0.2, 30), st.floats(1, 60))
def test_a_rate_is_kept_whatever_the_camera_gives(rate: float, fps: float) -> None:
    policy = Policy(rate, follows=True)
    times = np.arange(0, 60, 1 / fps)
    told = sum(policy.wants(observation(frame(at), at)) for at in times.tolist())
    assert told <= rate * 60 + 2
    assert told >= min(rate, fps) * 60 * 0.5 - 2


@pytest.mark.parametrize(("rate", "fps", "wanted"), [(5, 15, 300), (10, 10, 600), (30, 10, 600)])
def test_what_divides_is_exact(rate: float, fps: float, wanted: int) -> None:
    policy = Policy(rate, follows=True)
    told = sum(policy.wants(observation(frame(at), at)) for at in np.arange(0, 60, 1 / fps))
    assert told == pytest.approx(wanted, abs=3)


def test_a_rate_is_not_made_up_for_after_a_pause() -> None:
    policy = Policy(2.0, follows=True)
    assert policy.wants(observation(frame(0), 0))
    late = [policy.wants(observation(frame(at), at)) for at in np.arange(100, 101, 0.1)]
    assert sum(late) <= 3


def test_without_objects_other_labels_are_a_change() -> None:
    policy = Policy("changed", follows=False)
    looks = [(1,), (1,), (1, 3), (3, 1), (1,), (), ()]
    told = [policy.wants(observation(frame(at, *one), at)) for at, one in enumerate(looks)]
    assert told == [True, False, True, False, True, True, False]


def test_with_objects_the_scene_says_so() -> None:
    policy = Policy("changed", follows=True)
    one = observation(frame(1, 1), 1)
    assert not policy.wants(one)
    assert policy.wants(replace(one, happened=Happened(changed=True)))


def test_every_and_off() -> None:
    one = observation(frame(1), 1)
    assert Policy("every", follows=True).wants(one)
    assert not Policy("off", follows=True).wants(one)
