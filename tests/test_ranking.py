"""Which proofs are trusted, in which order, and what is said of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.accelerators import Finding
from appliance.clock import ManualClock
from appliance.selection import Proof, Selection, WorkerLayout
from appliance.selection.parity import differences, iou, misses
from appliance.selection.ranking import noted, ranked, refused
from appliance.sources.pictures.scene import TrueBox
from tests.fakes.in_process import InProcess
from tests.helpers import seen

if TYPE_CHECKING:
    from appliance.models import Model
    from appliance.selection.worker_layout import Aim


def proof(
    *, right: bool | None = True, fps: float = 10, ms: float = 10, degraded: bool = False
) -> Proof:
    return Proof(
        accelerator="a", model_id="m", right=right, reason="because", fps=fps,
        inference_ms=ms, degraded=degraded,
    )  # fmt: skip


FOUND = Finding("a", found=True, detail="here", devices=("d",), runtime="1")


def order(model: Model, aim: Aim, **proofs: Proof | None) -> list[str]:
    judged = [
        Selection(InProcess(name, ManualClock()), model, WorkerLayout(1, 1), (), one)
        for name, one in proofs.items()
    ]
    return [one.accelerator.name for one in ranked(judged, aim)]


def test_the_aim_decides_among_those_that_are_right(default_model: Model) -> None:
    some = {
        "cpu": proof(fps=20, ms=30),
        "many": proof(fps=90, ms=20),
        "quick": proof(fps=50, ms=5),
    }
    assert order(default_model, "throughput", **some) == ["many", "quick", "cpu"]
    assert order(default_model, "latency", **some) == ["quick", "many", "cpu"]


def test_what_is_wrong_degraded_or_unproved_is_not_taken(default_model: Model) -> None:
    some = {
        "wrong": proof(right=False, fps=90),
        "elsewhere": proof(degraded=True, fps=90),
        "elsewhere too": proof(right=None, degraded=True, fps=90),
        "unproved": None,
        "cpu": proof(),
    }
    assert order(default_model, "throughput", **some) == ["cpu"]
    assert order(default_model, "latency", wrong=proof(right=False)) == []


def test_what_cannot_be_compared_comes_after_and_the_reference_first(default_model: Model) -> None:
    some = {"other": proof(right=None, fps=99), "cpu": proof(right=None), "slow": proof(fps=1)}
    assert order(default_model, "throughput", **some) == ["slow", "cpu", "other"]


def test_the_finding_of_the_one_taken_is_found(default_model: Model) -> None:
    other = Finding("b", found=True, detail="")
    accelerator = InProcess("a", ManualClock())
    one = Selection(accelerator, default_model, WorkerLayout(1, 1), (other, FOUND), None)
    assert one.finding is FOUND


def test_what_is_said_of_a_proof() -> None:
    assert noted(FOUND, proof(fps=12.34, ms=5.67)) == Finding(
        "a", True, "here, m: 12.3 inferences/s, 5.7 ms, because", ("d",), "1"
    )
    assert noted(FOUND, proof(degraded=True)).detail.endswith("10.0 ms, degraded: because")
    assert noted(FOUND, proof(right=None)).found
    assert noted(FOUND, proof(right=False)) == Finding(
        "a", False, "here, but refused: because", ("d",), "1"
    )


def test_a_refusal_keeps_what_was_found() -> None:
    assert refused(FOUND, "away") == Finding("a", False, "away", ("d",), "1")


# --- parity, at its borders

BOX = (0.0, 0.0, 1.0, 0.5)


@pytest.mark.parametrize(
    ("row", "same"),
    [
        ((0.0, 0.0, 1.0, 0.5, 0.9, 17), True),
        ((0.0, 0.0, 0.91, 0.5, 0.9, 17), True),  # IoU 0.91
        ((0.0, 0.0, 0.89, 0.5, 0.9, 17), False),
        ((0.0, 0.0, 1.0, 0.5, 0.76, 17), True),
        ((0.0, 0.0, 1.0, 0.5, 0.74, 17), False),
        ((0.0, 0.0, 1.0, 0.5, 1.0, 17), True),
        ((0.0, 0.0, 1.0, 0.5, 0.9, 18), False),
    ],
)
def test_how_far_two_may_be_apart(
    row: tuple[float, float, float, float, float, int], *, same: bool
) -> None:
    got, reference = seen(row), seen((*BOX, 0.9, 17))
    assert (differences(got, reference) == "") is same
    assert (differences(reference, got) == "") is same


@pytest.mark.parametrize(("score", "counts"), [(0.64, False), (0.66, True)])
def test_only_what_is_clearly_seen_must_be_seen_by_both(score: float, *, counts: bool) -> None:
    one = seen((*BOX, score, 17))
    assert bool(differences(seen(), one)) is counts
    assert bool(differences(one, seen())) is counts


def test_a_difference_is_said_with_its_figures() -> None:
    one = seen((*BOX, 0.9, 17))
    half = seen((0.0, 0.0, 0.5, 0.5, 0.9, 17))
    pale = seen((*BOX, 0.7, 17))
    assert differences(seen(), one) == "the reference sees label 17 (0.90)"
    assert differences(one, seen()) == "it sees label 17 (0.90) and the reference does not"
    assert differences(half, one) == (
        "the reference sees label 17 (0.90) elsewhere (IoU 0.50, at least 0.9 is right)"
    )
    assert differences(pale, one) == (
        "the reference sees label 17 (0.90) with another score (0.70, 0.15 apart is right)"
    )


def test_the_best_partner_is_the_one_that_overlaps_most() -> None:
    far = (0.0, 0.5, 1.0, 1.0)
    one = seen((*BOX, 0.9, 17))
    assert differences(seen((*far, 0.95, 17), (*BOX, 0.9, 17)), one).startswith("it sees")
    assert not differences(
        seen((*far, 0.95, 17), (*BOX, 0.9, 17)), seen((*BOX, 0.9, 17), (*far, 0.95, 17))
    )
    assert not differences(
        seen((*BOX, 0.9, 18), (*BOX, 0.8, 17)), seen((*BOX, 0.8, 17), (*BOX, 0.9, 18))
    )


def test_a_second_that_is_missing_is_noticed() -> None:
    far = (0.0, 0.5, 1.0, 1.0, 0.8, 3)
    both, one = seen((*BOX, 0.9, 17), far), seen((*BOX, 0.9, 17))
    assert "the reference sees label 3 (0.80)" in differences(one, both)
    assert "it sees label 3 (0.80)" in differences(both, one)


@pytest.mark.parametrize(
    ("box", "overlap"),
    [
        ((0.0, 0.0, 1.0, 0.5), 1.0),
        ((0.0, 0.0, 0.5, 0.5), 0.5),
        ((0.5, 0.25, 1.0, 0.75), 0.125 / 0.625),
        ((0.0, 0.5, 1.0, 1.0), 0.0),
        ((0.2, 0.6, 0.3, 0.7), 0.0),
        ((0.0, 0.0, 0.0, 0.0), 0.0),
    ],
)
def test_overlap_is_what_both_share_of_what_both_cover(
    box: tuple[float, float, float, float], overlap: float
) -> None:
    boxes, other = seen((*BOX, 0.9, 1)).boxes, seen((0, 0, 1, 1, 0.9, 1)).boxes[0]
    other[:] = box
    assert iou(boxes, other).tolist() == pytest.approx([overlap])


def test_each_box_is_measured_by_itself() -> None:
    some = seen((0, 0, 1, 1, 0.9, 1), (0, 0, 0.5, 1, 0.8, 1), (0, 0, 0.25, 0.5, 0.7, 1)).boxes
    assert iou(some, some[0]).tolist() == pytest.approx([1.0, 0.5, 0.125])


def test_nothing_overlaps_nothing() -> None:
    import numpy as np

    empty = np.zeros((1, 4), np.float32)
    assert iou(empty, empty[0]).tolist() == [0.0]


CAT, DOG, CUP = (
    TrueBox("cat", 0.1, 0.1, 0.4, 0.4),
    TrueBox("dog", 0.6, 0.6, 0.3, 0.3),
    TrueBox("cup", 0.1, 0.6, 0.2, 0.2),
)
CAT_ROW, DOG_ROW = (0.1, 0.1, 0.5, 0.5, 0.9, 1), (0.6, 0.6, 0.9, 0.9, 0.8, 2)


@pytest.mark.parametrize(
    ("truth", "enough"),
    [((CAT,), True), ((CAT, CUP), True), ((CAT, CUP, CUP), False), ((), True), ((CUP,), False)],
)
def test_half_of_the_truth_must_be_found(truth: tuple[TrueBox, ...], *, enough: bool) -> None:
    assert (misses(seen(CAT_ROW), ("cat",), truth) == "") is enough


def test_each_is_looked_for_under_its_own_name() -> None:
    got = seen(CAT_ROW, DOG_ROW)
    assert misses(got, ("cat", "dog"), (CAT, DOG)) == ""
    assert misses(got, ("dog", "cat"), (CAT, DOG)) == "sees dog, cat where cat, dog are"
    assert misses(seen(), (), (CAT,)) == "sees nothing where cat are"


@pytest.mark.parametrize(("right", "enough"), [(0.31, True), (0.29, False)])
def test_a_box_need_only_cover_half_of_the_truth(right: float, *, enough: bool) -> None:
    got = seen((0.1, 0.1, right, 0.5, 0.9, 1))
    assert (misses(got, ("cat",), (CAT,)) == "") is enough
