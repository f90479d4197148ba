"""Both output conventions decode right, and no garbage gets through."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.vision.postprocess import (
    Quantisation,
    decode_postprocessed,
    decode_raw_ssd,
    likely,
    strongest,
    suppress,
    true_places,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.values import Detections

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)
SCALES = (10.0, 10.0, 5.0, 5.0)
PLAIN = Quantisation()


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_a_raw_head_decodes_against_its_anchors() -> None:
    anchors = np.asarray([[0.2, 0.2, 0.4, 0.6], [0.5, 0.5, 0.9, 0.7]], np.float32)
    encodings = np.asarray([[0, 0, 0, 0], [1, -1, 5 * math.log(2), 0]], np.float32)
    logits = np.full((2, 4), -10, np.float32)
    logits[0, 3], logits[1, 1] = logit(0.9), logit(0.6)
    found = decode_raw_ssd(
        encodings,
        logits,
        anchors,
        encoding_quantisation=Quantisation(),
        logit_quantisation=Quantisation(),
        scales=SCALES,
        score_threshold=0.5,
    )
    assert found.label_ids.tolist() == [3, 1]
    assert found.scores == pytest.approx([0.9, 0.6], abs=1e-5)
    assert found.boxes[0] == pytest.approx([0.2, 0.2, 0.6, 0.4], abs=1e-6)
    # centre y 0.7 + 0.1 * 0.4, height 0.8; centre x 0.6 - 0.1 * 0.2, width 0.2
    assert found.boxes[1] == pytest.approx([0.48, 0.34, 0.68, 1.0], abs=1e-5)


@dataclass
class Head:
    """What a raw head gives, as an accelerator hands it over."""

    encodings: np.ndarray
    logits: np.ndarray
    anchors: np.ndarray
    encoding: Quantisation = PLAIN
    logit: Quantisation = PLAIN
    scales: tuple[float, float, float, float] = SCALES

    def decode(self, threshold: float, **options: Any) -> Detections:
        return decode_raw_ssd(
            self.encodings,
            self.logits,
            self.anchors,
            encoding_quantisation=self.encoding,
            logit_quantisation=self.logit,
            scales=self.scales,
            score_threshold=threshold,
            **options,
        )


def plainly_decoded(head: Head, threshold: float) -> list[tuple[list[float], float, int]]:
    """The same by the book, one number at a time, in double precision: (box, score, class)."""

    def real(stored: Any, quantisation: Quantisation) -> list[float]:
        return [(float(one) - quantisation.zero_point) * quantisation.scale for one in stored]

    found = []
    for encoding, logits, anchor in zip(head.encodings, head.logits, head.anchors, strict=True):
        top, left, bottom, right = map(float, anchor)
        ty, tx, th, tw = real(encoding, head.encoding)
        y = (top + bottom) / 2 + ty / head.scales[0] * (bottom - top)
        x = (left + right) / 2 + tx / head.scales[1] * (right - left)
        h = (bottom - top) * math.exp(th / head.scales[2])
        w = (right - left) * math.exp(tw / head.scales[3])
        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        for label, value in enumerate(real(logits, head.logit)):
            score = 1 / (1 + math.exp(-value))
            if label and score >= threshold:
                found.append((box, score, label))
    kept: list[tuple[list[float], float, int]] = []
    for one in sorted(found, key=lambda row: -row[1]):
        if all(one[2] != other[2] or over(one[0], other[0]) <= 0.6 for other in kept):
            kept.append(one)
    clipped = [([min(max(v, 0.0), 1.0) for v in box], score, n) for box, score, n in kept[:100]]
    return [row for row in clipped if row[0][2] > row[0][0] and row[0][3] > row[0][1]]


def random_head(seed: int, n: int, classes: int, kind: str) -> Head:
    """Boxes of which many overlap, and few logits that are high, as a real head has them."""
    random = np.random.default_rng(seed)
    low = random.uniform(-0.1, 0.8, (n, 2))
    anchors = np.hstack([low, low + random.uniform(0.1, 0.4, (n, 2))]).astype(np.float32)
    encodings = random.normal(0, 2, (n, 4))
    logits = random.normal(-3, 3, (n, classes))
    scales = (10.0, 8.0, 5.0, 4.0)
    if kind == "float32":
        return Head(encodings.astype(np.float32), logits.astype(np.float32), anchors, scales=scales)
    zero = 30 if kind == "int8" else 150
    eq, lq = Quantisation(0.07, zero), Quantisation(0.09, zero + 1)
    limits = np.iinfo(kind)

    def stored(values: np.ndarray, quantisation: Quantisation) -> np.ndarray:
        exact = np.round(values / quantisation.scale) + quantisation.zero_point
        return np.clip(exact, limits.min, limits.max).astype(kind)

    return Head(stored(encodings, eq), stored(logits, lq), anchors, eq, lq, scales)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.integers(1, 60),
    st.sampled_from((2, 3, 8, 11)),
    st.sampled_from(("float32", "int8", "uint8", "int16")),
    st.floats(0.02, 0.98),
)
def test_a_raw_head_is_decoded_as_by_the_book(
    seed: int, n: int, classes: int, kind: str, threshold: float
) -> None:
    head = random_head(seed, n, classes, kind)
    expected = plainly_decoded(head, threshold)
    for nearly in (threshold - 1e-5, threshold + 1e-5):  # no score lies on the threshold
        assume(len(plainly_decoded(head, nearly)) == len(expected))
    boxes = [row[0] for row in expected]
    assume(not any(abs(over(a, b) - 0.6) < 1e-4 for a, b in itertools.combinations(boxes, 2)))
    found = head.decode(threshold)
    assert found.label_ids.tolist() == [row[2] for row in expected]
    assert found.scores == pytest.approx([row[1] for row in expected], abs=1e-5)
    for box, row in zip(found.boxes, expected, strict=True):
        assert box == pytest.approx(row[0], abs=1e-4)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.77, 0.95])
def test_no_quantised_score_below_the_threshold_gets_through(kind: str, threshold: float) -> None:
    """Each stored value is one row; the boxes do not overlap."""
    limits = np.iinfo("int8" if kind == "int16" else kind)
    levels = np.arange(limits.min, limits.max + 1).astype(kind)
    n = len(levels)
    logits = np.stack([np.full(n, limits.min, kind), levels], axis=1)
    left = np.arange(n, dtype=np.float32) / n
    sides = [np.zeros(n), left, np.ones(n), left + 0.5 / n]
    anchors = np.stack(sides, axis=1).astype(np.float32)
    scale, zero = 0.2, int(limits.min) + 128 + 7
    head = Head(np.zeros((n, 4), kind), logits, anchors, Quantisation(), Quantisation(scale, zero))
    expected = [1 / (1 + math.exp(-(int(level) - zero) * scale)) for level in levels]
    expected = sorted((score for score in expected if score >= threshold), reverse=True)
    found = head.decode(threshold)
    assert found.scores == pytest.approx(expected[:100], abs=1e-6)
    assert 0 < len(expected) < n


@pytest.mark.parametrize(
    ("threshold", "stored", "seen"),
    [
        (0.0, -128, True),  # everything
        (-1.0, -128, True),
        (1.0, 127, False),  # nothing
        (1.5, 127, False),
        (1e-30, -128, True),  # below what can be stored
        (1 - 1e-16, 127, False),  # above it
    ],
)
def test_thresholds_that_cannot_be_stored(threshold: float, stored: int, *, seen: bool) -> None:
    head = Head(
        np.zeros((1, 4), np.int8),
        np.asarray([[-128, stored]], np.int8),
        np.asarray([[0, 0, 1, 1]], np.float32),
        Quantisation(),
        Quantisation(0.1, 0),
    )
    assert (len(head.decode(threshold)) == 1) is seen


@pytest.mark.parametrize(("overlap", "kept"), [(0.5, 2), (0.59, 2), (0.61, 1), (0.7, 1)])
def test_boxes_of_one_class_may_overlap_by_three_fifths(overlap: float, kept: int) -> None:
    """Two boxes 0.4 wide; the overlap is shared width over width of both."""
    shift = 0.4 * (1 - overlap) / (1 + overlap)
    anchors = [[0.1, 0.1, 0.5, 0.5], [0.1, 0.1 + shift, 0.5, 0.5 + shift]]
    logits = np.asarray([[-9, 2, -9], [-9, 1, -9]], np.float32)
    head = Head(np.zeros((2, 4), np.float32), logits, np.asarray(anchors, np.float32))
    assert len(head.decode(0.5)) == kept
    logits[1] = [-9, -9, 1]
    assert len(head.decode(0.5)) == 2  # another class


def heap(n: int, extra: int) -> Head:
    """So many boxes in one place, each a little less likely, then others elsewhere, less so."""
    anchors = np.tile(np.asarray([[0, 0, 0.5, 0.5]], np.float32), (n + extra, 1))
    anchors[n:] = [0.5, 0.5, 1, 1]
    logits = np.full((n + extra, 2), -20, np.float32)
    logits[:, 1] = np.linspace(3, 1, n + extra)
    return Head(np.zeros((n + extra, 4), np.float32), logits, anchors)


@pytest.mark.parametrize("turn", [1, -1])
def test_of_more_than_a_thousand_candidates_the_best_are_kept(turn: int) -> None:
    """1,100 boxes that do not overlap: the hundred best remain, wherever they stand."""
    n = 1100
    left = np.arange(n, dtype=np.float32) / n
    sides = [np.zeros(n), left, np.ones(n), left + 0.5 / n]
    anchors = np.stack(sides, axis=1).astype(np.float32)
    logits = np.full((n, 2), -20, np.float32)
    logits[:, 1] = np.linspace(1, 3, n)[::turn]
    found = Head(np.zeros((n, 4), np.float32), logits, anchors).decode(0.5)
    best = np.linspace(3, 1, n)[:100]
    assert found.scores == pytest.approx(1 / (1 + np.exp(-best)), abs=1e-6)
    assert found.boxes[0, 0] == pytest.approx(0.0 if turn < 0 else left[-1], abs=1e-6)


@pytest.mark.parametrize(("n", "seen"), [(998, 2), (999, 2), (1000, 1), (1001, 1)])
def test_a_thousand_candidates_are_looked_at(n: int, seen: int) -> None:
    assert len(heap(n, 1).decode(0.5)) == seen


@pytest.mark.parametrize("turn", [1, -1])
def test_of_candidates_of_other_heads_too_the_best_are_kept(turn: int) -> None:
    """As above, of boxes that are decoded already."""
    n = 1100
    left = np.arange(n, dtype=np.float32) / n
    boxes = np.stack([left, np.zeros(n), left + 0.5 / n, np.ones(n)], axis=1).astype(np.float32)
    scores = np.linspace(0.2, 0.9, n, dtype=np.float32)[::turn]
    found = strongest(boxes, scores, np.full(n, 3), iou_threshold=0.6, label_offset=1)
    best = np.argsort(-scores)[:100]
    assert found.scores.tolist() == scores[best].tolist()
    assert found.boxes.tolist() == boxes[best].tolist()
    assert found.label_ids.dtype == np.int32
    assert set(found.label_ids.tolist()) == {4}


@pytest.mark.parametrize("activated", [True, False])
def test_a_score_at_the_threshold_is_likely_and_one_below_is_not(activated: bool) -> None:
    at, below = (0.5, 0.25) if activated else (0.0, -0.25)  # the sigmoid of 0 is a half
    stored = np.asarray([[below, at], [below, below]], np.float32)
    places, scores = likely(stored, PLAIN, 0.5, activated=activated)
    assert (places.tolist(), scores.tolist()) == ([1], [0.5])


def test_probabilities_are_not_taken_for_what_is_before_their_sigmoid() -> None:
    anchors = np.asarray([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32)
    probabilities = np.asarray([[0.1, 0.75], [0.6, 0.25]], np.float32)
    found = decode_raw_ssd(
        np.zeros((2, 4), np.float32),
        probabilities,
        anchors,
        encoding_quantisation=PLAIN,
        logit_quantisation=PLAIN,
        scales=SCALES,
        score_threshold=0.5,
        activated=True,
    )
    assert (found.scores.tolist(), found.label_ids.tolist()) == ([0.75], [1])


def test_label_ids_follow_the_columns_or_a_list() -> None:
    head = heap(1, 0)
    assert head.decode(0.5).label_ids.tolist() == [1]
    assert head.decode(0.5, label_offset=4).label_ids.tolist() == [5]
    assert head.decode(0.5, label_ids=(0, 77)).label_ids.tolist() == [77]
    assert head.decode(0.5, label_ids=(0, 77)).label_ids.dtype == np.int32


def test_the_background_column_is_never_a_detection() -> None:
    logits = np.full((1, 4), -10, np.float32)
    logits[0, 0] = 10
    found = decode_raw_ssd(
        np.zeros((1, 4), np.float32),
        logits,
        np.asarray([[0, 0, 1, 1]], np.float32),
        encoding_quantisation=Quantisation(),
        logit_quantisation=Quantisation(),
        scales=SCALES,
        score_threshold=0.1,
    )
    assert len(found) == 0


def test_postprocessed_rows_beyond_the_count_are_cut() -> None:
    boxes = np.asarray([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], np.float32)
    found = decode_postprocessed(
        boxes,
        np.asarray([0, 5], np.float32),
        np.asarray([0.8, 0.99], np.float32),
        1.0,
        score_threshold=0.5,
    )
    assert found.label_ids.tolist() == [1]
    assert found.boxes[0] == pytest.approx([0.2, 0.1, 0.4, 0.3])


@given(
    hnp.arrays(np.float32, (10, 4), elements=FLOATS),
    hnp.arrays(np.float32, (10,), elements=st.floats(-5, 1000, width=32) | st.just(math.nan)),
    hnp.arrays(np.float32, (10,), elements=FLOATS),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_garbage_outputs_never_raise(
    boxes: object, classes: object, scores: object, count: float
) -> None:
    found = decode_postprocessed(boxes, classes, scores, count, score_threshold=0.3)  # type: ignore[arg-type]
    assert np.isfinite(found.boxes).all()


@given(st.integers(0, 40))
def test_suppression_keeps_the_best_of_each_heap(n: int) -> None:
    random = np.random.default_rng(n)
    low = random.uniform(0, 0.8, (n, 2))
    boxes = np.hstack([low, low + random.uniform(0.05, 0.2, (n, 2))]).astype(np.float32)
    scores = random.uniform(0, 1, n).astype(np.float32)
    classes = random.integers(0, 3, n)
    kept = suppress(boxes, scores, classes, 0.4)
    assert (np.diff(scores[kept]) <= 0).all()
    for position, i in enumerate(kept):
        for j in kept[:position]:
            if classes[i] == classes[j]:
                assert iou(boxes[i], boxes[j]) <= 0.4 + 1e-6
    for lost in set(range(n)) - set(kept.tolist()):
        assert any(
            classes[k] == classes[lost]
            and scores[k] >= scores[lost]
            and iou(boxes[k], boxes[lost]) > 0.4
            for k in kept
        )


def iou(a: object, b: object) -> float:
    x = np.asarray([a, b], np.float64)
    side = np.clip(x[:, 2:].min(axis=0) - x[:, :2].max(axis=0), 0, None)
    areas = (x[:, 2:] - x[:, :2]).prod(axis=1)
    return float(side.prod() / (areas.sum() - side.prod()))


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_looking_at_eight_at_once_finds_what_looking_at_each_does(mask: np.ndarray) -> None:
    assert true_places(mask).tolist() == np.flatnonzero(mask).tolist()


BOXES = hnp.arrays(np.float32, (12, 4), elements=st.integers(0, 8).map(lambda n: np.float32(n / 8)))


@given(BOXES, hnp.arrays(np.int64, 12, elements=st.integers(0, 2)))
def test_suppression_of_all_at_once_is_the_greedy_one(
    boxes: np.ndarray, classes: np.ndarray
) -> None:
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    boxes = np.concatenate([low - 2, high - 2 + 1 / 8], axis=1)  # never empty, and far outside
    scores = np.linspace(0.9, 0.5, 12, dtype=np.float32)
    kept: list[int] = []
    for i in range(12):
        if not any(classes[i] == classes[k] and over(boxes[i], boxes[k]) > 0.613 for k in kept):
            kept.append(i)
    assert suppress(boxes, scores, classes, 0.613).tolist() == kept  # no ties of eighths there


def over(a: Sequence[float], b: Sequence[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return float(inside / union) if union > 0 else 0.0


@pytest.mark.parametrize(
    ("count", "labels"),
    [
        (3.0, [1, 6, 91]),
        (2.9, [1, 6]),
        (2.0, [1, 6]),
        (1.0, [1]),
        (0.0, []),
        (-1.0, []),
        (99.0, [1, 6, 91]),
        (math.nan, []),
        (math.inf, []),
    ],
)
def test_the_count_says_how_many_rows_mean_something(count: float, labels: list[int]) -> None:
    boxes = np.asarray([[0.1, 0.2, 0.3, 0.4]] * 3, np.float32)
    classes = np.asarray([0, 5, 90], np.float32)
    scores = np.asarray([0.8, 0.7, 0.6], np.float32)
    found = decode_postprocessed(boxes, classes, scores, count, score_threshold=0.5)
    assert found.label_ids.tolist() == labels


def test_postprocessed_rows_at_the_threshold_are_kept_and_those_without_class_are_not() -> None:
    boxes = np.asarray([[-0.5, 0.2, 1.5, 0.4]] * 4, np.float32)
    classes = np.asarray([0, 1, 2, math.nan], np.float32)
    scores = np.asarray([0.5, 0.75, 0.25, 0.9], np.float32)
    found = decode_postprocessed(boxes, classes, scores, 4.0, score_threshold=0.5, label_offset=10)
    assert found.label_ids.tolist() == [11, 10]
    assert found.scores.tolist() == [0.75, 0.5]
    assert found.boxes[0] == pytest.approx([0.2, 0.0, 0.4, 1.0])
    assert found.rejected == 0


def test_boxes_that_are_not_finite_overlap_nothing_and_come_last() -> None:
    boxes = np.asarray(
        [[0, 0, math.nan, 1], [0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, math.inf, 3], [3, 3, 4, 4]],
        np.float32,
    )
    scores = np.asarray([0.99, 0.5, 0.6, 0.98, 0.9], np.float32)
    kept = suppress(boxes, scores, np.zeros(5, np.int64), 0.6)
    assert kept.tolist() == [4, 2, 0, 3]
    kept = suppress(boxes, scores, np.zeros(5, np.int64), 0.95)  # 0.9 is allowed then
    assert kept.tolist() == [4, 2, 1, 0, 3]
    assert suppress(boxes[:0], scores[:0], np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize("far", [-1000.0, 0.0, 1000.0])
def test_classes_are_told_apart_wherever_the_boxes_lie(far: float) -> None:
    boxes = np.asarray([[0, 0, 1, 1]] * 3, np.float32) + np.float32(far)
    scores = np.asarray([0.5, 0.7, 0.6], np.float32)
    assert suppress(boxes, scores, np.asarray([0, 1, 5])).tolist() == [1, 2, 0]


@given(st.integers(-24, 24), st.integers(-24, 24), st.integers(0, 3), st.integers(0, 3))
def test_boxes_apart_are_both_kept_wherever_and_whatever_they_are(
    x: int, y: int, first: int, second: int
) -> None:
    assume(abs(x) >= 4 or abs(y) >= 4)  # in quarters of a side
    other = [x / 4, y / 4, x / 4 + 1, y / 4 + 1]
    boxes = np.asarray([[0, 0, 1, 1], other], np.float32)
    scores = np.asarray([0.5, 0.7], np.float32)
    assert suppress(boxes, scores, np.asarray([first, second])).tolist() == [1, 0]


@pytest.mark.parametrize("place", [-1.0, -2.0])
def test_classes_are_told_apart_left_of_the_picture_too(place: float) -> None:
    """OpenCV moves each class by its number times the largest coordinate and one more."""
    boxes = np.asarray([[0, 0, 1, 1], [place, place, place + 1, place + 1]], np.float32)
    scores = np.asarray([0.5, 0.7], np.float32)
    assert suppress(boxes, scores, np.asarray([0, 1])).tolist() == [1, 0]


def test_a_score_of_nothing_does_not_survive() -> None:
    boxes = np.asarray([[0, 0, 1, 1]] * 2, np.float32)
    kept = suppress(boxes, np.zeros(2, np.float32), np.asarray([0, 1]))
    assert kept.tolist() == []
    assert boxes[kept].shape == (0, 4)  # what is empty can be looked up too


def test_quantisation_there_and_back() -> None:
    quantisation = Quantisation(0.5, -3)
    stored = np.asarray([-3, -1, 5], np.int8)
    assert quantisation.real(stored).tolist() == [0.0, 1.0, 4.0]
    assert quantisation.real(stored).dtype == np.float32
    assert [quantisation.stored(value) for value in (0.0, 1.0, 4.25)] == [-3.0, -1.0, 5.5]
    assert Quantisation().stored(2.5) == 2.5
