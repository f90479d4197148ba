"""Both output conventions decode right, and no garbage gets through."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.postprocess import (
    Quantisation,
    decode_postprocessed,
    decode_raw_ssd,
    suppress,
    true_places,
)

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)
SCALES = (10.0, 10.0, 5.0, 5.0)


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


def test_quantised_tensors_give_what_floats_give() -> None:
    random = np.random.default_rng(3)
    anchors = np.sort(random.uniform(0, 1, (50, 2, 2)), axis=1).reshape(50, 4).astype(np.float32)
    eq, lq = Quantisation(0.1, 50), Quantisation(0.2, 48)
    stored_e = random.integers(-128, 128, (50, 4)).astype(np.int8)
    stored_l = random.integers(-128, 128, (50, 91)).astype(np.int8)
    quantised = decode_raw_ssd(
        stored_e,
        stored_l,
        anchors,
        encoding_quantisation=eq,
        logit_quantisation=lq,
        scales=SCALES,
        score_threshold=0.3,
    )
    plain = decode_raw_ssd(
        eq.real(stored_e),
        lq.real(stored_l),
        anchors,
        encoding_quantisation=Quantisation(),
        logit_quantisation=Quantisation(),
        scales=SCALES,
        score_threshold=0.3,
    )
    assert quantised.label_ids.tolist() == plain.label_ids.tolist()
    assert np.allclose(quantised.boxes, plain.boxes, atol=1e-6)


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


def over(a: np.ndarray, b: np.ndarray) -> float:
    w, h = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inside = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return float(inside / union) if union > 0 else 0.0
