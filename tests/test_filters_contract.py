"""What every filter must do, whoever wrote it: the contract of ``appliance.filters.Filter``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CameraSettings
from appliance.errors import ConfigError, LabelsError
from appliance.extensions import kinds, load
from appliance.filters import Filter, check_filters, create_filters
from appliance.models import Labels
from appliance.values import ClockOrigin, Detections, Observation, StageTimes
from tests.packages import contract_of

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = kinds("appliance.filters")
LABELS = Labels(("", "person", "bicycle", "car"))
WANTED: Mapping[str, dict[str, Any]] = {"labels": {"labels": ["person"]}}
"""Options by which a filter has something to do; a new kind gets a line here."""


def camera(*tables: dict[str, Any]) -> CameraSettings:
    return CameraSettings(name="front", source="synthetic", filter=tables)


def wanted(kind: str) -> dict[str, Any]:
    return WANTED[kind] if kind in WANTED else dict(contract_of(KINDS[kind])["options"])


def one(kind: str) -> Filter:
    (made,) = create_filters(camera({"kind": kind, **wanted(kind)}), LABELS)
    return made


def seen(*rows: tuple[int, float]) -> Observation:
    boxes = np.tile(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), (len(rows), 1))
    scores = np.array([score for _, score in rows], np.float32)
    ids = np.array([label for label, _ in rows], np.int32)
    found = Detections.of(boxes.reshape(-1, 4), scores, ids)
    return Observation(
        camera="front",
        frame_seq=7,
        width=640,
        height=480,
        origin=ClockOrigin.READ,
        detections=found,
        times=StageTimes(1, 2, 3, 4, 5, 6),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_its_options_have_sentences(kind: str) -> None:
    options = load(KINDS[kind]).Options
    assert options.__doc__
    for field in msgspec.structs.fields(options):
        assert any(getattr(one, "description", None) for one in field.type.__metadata__)


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_it_does_not_have_is_named(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"camera\[front\]\.filter\[1\]\.colour: unknown key"):
        check_filters(camera({"kind": kind, **wanted(kind), "colour": 1}))


@pytest.mark.parametrize("kind", KINDS)
def test_two_cameras_share_nothing(kind: str) -> None:
    assert one(kind) is not one(kind)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.lists(st.tuples(st.integers(0, 1005), st.floats(0, 1, width=32)), max_size=20))
def test_it_changes_what_was_seen_and_nothing_else(
    kind: str, rows: list[tuple[int, float]]
) -> None:
    before = seen(*rows)
    boxes = before.detections.boxes.copy()
    after = one(kind).apply(before)
    assert (after.camera, after.frame_seq, after.times) == (
        before.camera,
        before.frame_seq,
        before.times,
    )
    np.testing.assert_array_equal(before.detections.boxes, boxes)  # what came in is not changed


def test_only_the_wanted_labels_of_that_camera_stay() -> None:
    both = create_filters(camera({"kind": "labels", "labels": ["car", "person"]}), LABELS)
    kept = both[0].apply(seen((1, 0.9), (2, 0.8), (3, 0.7), (1003, 0.6))).detections
    assert kept.label_ids.tolist() == [1, 3]


def test_filters_work_in_the_order_given() -> None:
    made = create_filters(
        camera({"kind": "labels", "labels": ["car"]}, {"kind": "labels", "labels": ["person"]}),
        LABELS,
    )
    left = seen((1, 0.9), (3, 0.7))
    for each in made:
        left = each.apply(left)
    assert len(left.detections.scores) == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, r"filter\[1\]\.kind: got None, expected one of labels"),
        ({"kind": "lables"}, r"got 'lables', which is unknown; did you mean labels\?"),
        ({"kind": "labels"}, r"filter\[1\]\.labels: is missing"),
        ({"kind": "labels", "labels": []}, r"filter\[1\]\.labels: got \[\], expected .*>= 1"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_filters(camera(table))


def test_a_label_that_the_model_does_not_know_is_told() -> None:
    with pytest.raises(LabelsError, match="does not know the label 'dog'"):
        create_filters(camera({"kind": "labels", "labels": ["dog"]}), LABELS)
