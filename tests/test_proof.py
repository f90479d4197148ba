"""What a proof says: right, wrong or not compared; how fast; and never an exception."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from appliance.accelerators import Finding
from appliance.clock import ManualClock
from appliance.models import Labels
from appliance.selection import Proof, ProofStore, Prover, WorkerLayout
from appliance.selection.proof import GOLDEN_SECONDS, golden_frame, look
from appliance.selection.proof_store import KeptFile, key_of, proof_key
from tests.fakes.in_process import CAT, Detector, InProcess
from tests.helpers import seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.models import Model
    from appliance.values import Detections

TRUTH = {"person": 1, "cat": 17, "cup": 47}
"""What is in the golden pictures, with COCO's ids."""


def all_of_it(number: int) -> Detections:
    """What a perfect detector sees in the golden picture of that number."""
    _, truth = golden_frame(GOLDEN_SECONDS[number % 2])
    return seen(*((o.x, o.y, o.x + o.w, o.y + o.h, 0.9, TRUTH[o.label]) for o in truth))


class Bench:
    def __init__(self, **candidate: Any) -> None:
        self.clock = ManualClock()
        self.reference = InProcess("cpu", self.clock)
        self.candidate = InProcess("fast", self.clock, **candidate)
        self.prover = Prover(self.reference, self.clock)

    def prove(
        self,
        model: Model,
        twin: Model | None,
        layout: WorkerLayout = WorkerLayout(1, 1),  # noqa: B008 - frozen
    ) -> Proof:
        proof = self.prover.prove(self.candidate, model, twin, layout)
        assert self.candidate.all_closed()
        assert self.reference.all_closed()
        return proof


def test_what_agrees_with_the_reference_is_right_and_timed(default_model: Model) -> None:
    """Ten inferences a second: seven in the 0.7 s of the measurement, after three to warm up."""
    bench = Bench()
    proof = bench.prove(replace(default_model, id="mine"), default_model, WorkerLayout(1, 3))
    assert proof == Proof(
        accelerator="fast", model_id="mine", right=True,
        reason=f"agrees with {default_model.id} on the cpu", fps=10.0, inference_ms=100.0,
    )  # fmt: skip
    (detector,) = bench.candidate.made
    assert detector.inferences == 2 + 3 + 7  # two pictures first
    assert detector.threads == 3
    (other,) = bench.reference.made
    assert (other.inferences, other.threads) == (2, 1)


def test_the_pictures_are_the_golden_ones(default_model: Model) -> None:
    bench, pictures = Bench(), list[np.ndarray]()

    def sees(number: int) -> Detections:
        pictures.append(np.array(bench.candidate.made[-1].picture))
        return seen(CAT)

    bench.candidate.sees = sees
    bench.prove(default_model, default_model)
    assert not np.array_equal(pictures[0], pictures[1])
    assert pictures[0].std() > 10  # a picture, not an empty input


@pytest.mark.parametrize(
    "sees",
    [
        lambda _: seen(),
        lambda _: seen((0.5, 0.5, 0.9, 0.9, 0.9, 17)),
        lambda number: seen(CAT) if number == 0 else seen(),  # the second picture counts too
        lambda number: seen(CAT) if number == 1 else seen(),
    ],
)
def test_what_differs_from_the_reference_is_wrong_and_not_timed(
    sees: Callable[[int], Detections], default_model: Model
) -> None:
    bench = Bench(sees=sees)
    proof = bench.prove(default_model, default_model)
    assert proof.right is False
    assert "the reference sees label 17" in proof.reason
    assert (proof.accelerator, proof.model_id) == ("fast", default_model.id)
    assert (proof.fps, proof.inference_ms, proof.degraded) == (0, 0, False)
    assert bench.candidate.made[0].inferences == 2


def test_the_same_answer_to_both_pictures_is_found_out(default_model: Model) -> None:
    bench = Bench(sees=lambda _: all_of_it(0))
    bench.reference.sees = all_of_it
    assert bench.prove(default_model, default_model).right is False


def test_without_a_twin_the_truth_decides(default_model: Model) -> None:
    proof = Bench(sees=all_of_it).prove(default_model, None)
    assert proof.right is True
    assert proof.reason == "sees what is in the golden pictures"
    assert proof.fps == 10


@pytest.mark.parametrize("blind", [0, 1])
def test_without_a_twin_both_pictures_count(blind: int, default_model: Model) -> None:
    bench = Bench(sees=lambda number: seen() if number == blind else all_of_it(number))
    proof = bench.prove(default_model, None)
    assert proof.right is False
    assert proof.reason.startswith("sees nothing where ")


def test_labels_are_names_and_not_numbers(default_model: Model) -> None:
    names = default_model.labels.names
    turned = Labels((names[0], *reversed(names[1:])))
    bench = Bench(sees=all_of_it)
    proof = bench.prove(replace(default_model, labels=turned), None)
    assert proof.right is False


def test_labels_of_the_owner_cannot_be_compared(default_model: Model) -> None:
    model = replace(default_model, labels=Labels(("", "person", "cat", "dog")))  # no cup
    proof = Bench(sees=lambda _: seen()).prove(model, None)
    assert proof.right is None
    assert proof.reason == "not compared: its labels are others than the golden pictures'"
    assert proof.fps == 10


def test_one_that_runs_elsewhere_is_degraded(default_model: Model) -> None:
    proof = Bench(degraded="it runs on CPU").prove(default_model, default_model)
    assert (proof.right, proof.degraded, proof.reason) == (True, True, "it runs on CPU")
    assert proof.fps == 10


def test_all_workers_are_timed_together(default_model: Model) -> None:
    bench = Bench(seconds=0.0)  # the clock stands still: each does its two hundred
    proof = bench.prove(default_model, default_model, WorkerLayout(3, 2))
    assert [one.inferences for one in bench.candidate.made] == [205, 203, 203]
    assert [one.threads for one in bench.candidate.made] == [2, 2, 2]
    assert proof.fps == pytest.approx(600e9)  # in one nanosecond
    assert proof.inference_ms == 0


def test_figures_are_rounded(default_model: Model) -> None:
    proof = Bench(seconds=0.0123456).prove(default_model, default_model)
    assert proof.inference_ms == 12.346
    assert proof.fps == 81.0  # 57 inferences in 0.7037 s
    proof = Bench(seconds=0.03).prove(default_model, default_model)
    assert (proof.inference_ms, proof.fps) == (30.0, 33.33)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"opens": 0}, "only 0 can be open"),
        ({"opens": 1}, "only 1 can be open"),
        ({"inferences_until_error": 0}, "it broke"),
        ({"inferences_until_error": 4}, "it broke"),  # while it warms up
        ({"inferences_until_error": 8}, "it broke"),  # while it is timed
    ],
)
def test_whatever_fails_is_a_refusal_with_its_reason(
    broken: dict[str, int], reason: str, default_model: Model
) -> None:
    bench = Bench(**broken)
    proof = bench.prove(default_model, default_model, WorkerLayout(2, 1))
    assert proof == Proof(accelerator="fast", model_id=default_model.id, right=False, reason=reason)


def test_a_reference_that_fails_is_a_refusal_too(default_model: Model) -> None:
    bench = Bench()
    bench.reference.inferences_until_error = 1
    assert bench.prove(default_model, default_model).reason == "it broke"


def test_looking_loads_the_picture_and_leaves_out_the_weak() -> None:
    owner = InProcess("x", ManualClock(), lambda _: seen(CAT, (0, 0, 1, 1, 0.49, 1)))
    detector = Detector(owner, 1)
    frame, _ = golden_frame(0.0)
    found = look(detector, frame)
    assert found.label_ids.tolist() == [17]
    assert detector.picture.any()


def test_a_golden_frame_has_the_size_that_is_asked_for() -> None:
    frame, truth = golden_frame(0.0)
    assert (frame.width, frame.height, frame.planes[0].shape) == (640, 480, (480, 640, 3))
    small, same = golden_frame(0.0, (320, 240))
    assert (small.width, small.height, small.planes[0].shape) == (320, 240, (240, 320, 3))
    assert [one.label for one in same] == [one.label for one in truth]
    assert {one.label for one in truth} == set(TRUTH)
    again, _ = golden_frame(0.0)
    assert np.array_equal(again.planes[0], frame.planes[0])  # the same film each time
    assert (frame.captured_ns, frame.seq) == (0, 0)


# --- what is kept

RIGHT = Proof(accelerator="fast", model_id="m", right=True, reason="agrees", fps=5.0)
WRONG = Proof(accelerator="fast", model_id="m", right=False, reason="sees nothing")


def test_a_proof_is_kept_for_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "proofs.json"
    store = ProofStore(path)
    assert store.get("k") is None
    store.keep("k", RIGHT)
    store.keep("other", replace_proof(right=None))
    assert store.get("k") == RIGHT
    later = ProofStore(path)
    assert later.get("k") == RIGHT
    assert later.get("other") == replace_proof(right=None)
    assert later.get("another") is None
    assert not list(path.parent.glob("*.partial"))
    assert msgspec.json.decode(path.read_bytes())["k"]["reason"] == "agrees"
    assert path.read_text().count("\n") > 5  # for people


def replace_proof(**fields: Any) -> Proof:
    return msgspec.structs.replace(RIGHT, **fields)


def test_a_failure_is_kept_in_this_process_only_and_goes_first(tmp_path: Path) -> None:
    path, failures = tmp_path / "proofs.json", dict[str, Proof]()
    store = ProofStore(path, failures)
    store.keep("k", RIGHT)
    store.keep("k", WRONG)
    assert store.get("k") == WRONG
    assert failures == {"k": WRONG}
    assert ProofStore(path).get("k") == RIGHT
    assert ProofStore(path, failures).get("k") == WRONG


def test_forgiving_one_forgives_no_other(tmp_path: Path) -> None:
    store = ProofStore(tmp_path / "proofs.json")
    other = replace_proof(accelerator="other", right=False)
    store.keep("1", WRONG)
    store.keep("2", other)
    store.keep("3", WRONG)
    store.forgive("fast")
    assert [store.get(key) for key in "123"] == [None, other, None]


def test_what_another_process_kept_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    mine, theirs = KeptFile(path, int), KeptFile(path, int)
    theirs.keep("a", 1)
    theirs.keep("b", 1)
    mine.keep("b", 2)
    mine.keep("c", 3)
    fresh = KeptFile(path, int)
    assert [fresh.get(key) for key in "abc"] == [1, 2, 3]
    assert mine.get("a") == 1


def test_values_of_another_kind_are_measured_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kept.json"
    path.write_text('{"a": "text"}')
    kept = KeptFile(path, int)
    assert kept.get("a") is None
    assert f"{path} cannot be read, measuring anew" in caplog.text
    kept.keep("b", 2)
    assert KeptFile(path, int).get("b") == 2


def test_a_missing_file_is_no_reason_to_complain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    KeptFile(tmp_path / "kept.json", int)
    assert caplog.text == ""


def test_a_file_that_cannot_be_written_is_complained_of_and_remembered_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    kept = KeptFile(tmp_path / "file" / "kept.json", int)
    kept.keep("a", 1)
    assert kept.get("a") == 1
    assert "cannot be written" in caplog.text


def test_a_proof_depends_on_accelerator_model_runtime_and_device(default_model: Model) -> None:
    finding = Finding("x", found=True, detail="d", devices=("a", "b"), runtime="1")
    same = replace(finding, detail="another", found=False)
    key = proof_key(finding, default_model)
    assert proof_key(same, replace(default_model, id="another")) == key
    others = [
        proof_key(replace(finding, name="y"), default_model),
        proof_key(replace(finding, runtime="2"), default_model),
        proof_key(replace(finding, devices=("a",)), default_model),
        proof_key(replace(finding, devices=("b", "a")), default_model),
        proof_key(finding, replace(default_model, sha256="other")),
    ]
    assert len({key, *others}) == 6


def test_keys_are_short_and_do_not_run_into_each_other() -> None:
    """Kept files outlive updates: the key of the same things stays the same."""
    assert key_of("a", "b") == "7e18f737311b2dc3b2f269dd"
    assert len(key_of("a")) == 24
    assert len({key_of("a", "b"), key_of("ab"), key_of("b", "a"), key_of("a", "b", "")}) == 4
