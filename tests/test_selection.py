"""Choosing: proofs on golden pictures, kept by model, runtime and device; the best is taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.accelerators import Machine, Registry
from appliance.clock import SystemClock
from appliance.errors import AcceleratorUnavailableError, ModelError, UsageError
from appliance.models import Catalogue, find_models_folder
from appliance.selection import Proof, ProofStore, Selector, WorkerLayout
from appliance.selection.parity import differences, iou, misses
from appliance.selection.proof import GOLDEN_SECONDS, Prover, golden_frame
from appliance.sources.pictures.scene import TrueBox
from tests.fakes.scripted_accelerator import PATHS
from tests.helpers import seen

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.selection import Selection
    from tests.samples import Samples


class Bench:
    """A machine with a CPU and the scripted accelerator, whose folder is ``control``."""

    def __init__(self, folder: Path, paths: dict[str, str] = PATHS) -> None:
        self.control = folder / "device"
        self.control.mkdir(exist_ok=True)
        self.file = folder / "accelerators.json"
        self._paths = paths
        given = {"scripted": {"device": str(self.control)}}
        self._options = {name: table for name, table in given.items() if name in paths}

    def selector(self, failures: dict[str, Proof] | None = None) -> Selector:
        return Selector(
            Registry(self._options, self._paths),
            Catalogue(find_models_folder()),
            Machine(),
            store=ProofStore(self.file, failures),
            clock=SystemClock(),
            layout_of=lambda *_: WorkerLayout(1, 1),
        )

    def relaid(self) -> Selector:
        """A selector after another layout was found to be best."""
        other = self.selector()
        other._layout_of = lambda *_: WorkerLayout(2, 1)
        return other

    def auto(self) -> Selection:
        return self.selector().select("auto", "auto")

    def kept(self) -> list[Proof]:
        return list(msgspec.json.decode(self.file.read_bytes(), type=dict[str, Proof]).values())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def detail(selection: Selection, name: str) -> str:
    return next(one.detail for one in selection.findings if one.name == name)


def test_auto_takes_the_fastest_that_is_right(bench: Bench) -> None:
    chosen = bench.auto()
    best = max(bench.kept(), key=lambda proof: proof.fps)
    assert chosen.accelerator.name == best.accelerator
    assert {proof.accelerator for proof in bench.kept()} == {"cpu", "scripted"}
    assert all(proof.right for proof in bench.kept())


def test_a_slow_one_is_not_taken(bench: Bench) -> None:
    (bench.control / "slow").touch()
    chosen = bench.auto()
    assert chosen.accelerator.name == "cpu"
    assert "inferences/s" in detail(chosen, "scripted")


@pytest.mark.parametrize("told", ["wrong", "constant", "crash_open", "refuse_frame", "hang"])
def test_one_that_fails_its_proof_is_refused_and_said(told: str, bench: Bench) -> None:
    (bench.control / told).touch()
    chosen = bench.auto()
    assert chosen.accelerator.name == "cpu"
    assert "refused" in detail(chosen, "scripted")
    assert [proof.accelerator for proof in bench.kept()] == ["cpu"]  # failures are tried again
    with pytest.raises(AcceleratorUnavailableError, match="refused"):
        bench.selector().select("scripted", "auto")


def test_one_that_runs_on_the_cpu_is_not_taken_by_auto(bench: Bench) -> None:
    (bench.control / "on_cpu").touch()
    assert bench.auto().accelerator.name == "cpu"
    explicit = bench.selector().select("scripted", "auto")
    assert explicit.proof is not None
    assert explicit.proof.degraded


def test_a_kept_proof_spares_the_next_start(bench: Bench) -> None:
    bench.auto()
    (bench.control / "wrong").touch()  # would be found out, if it were proved again
    kept = bench.selector().select("scripted", "auto")
    assert kept.proof is not None
    assert kept.proof.right


def test_another_layout_needs_no_new_proof(bench: Bench) -> None:
    bench.auto()
    assert not bench.relaid().must_prove("auto", "auto")
    assert not bench.relaid().must_prove("scripted", "auto")
    (bench.control / "wrong").touch()  # would be found out, if it were proved again
    assert bench.relaid().select("scripted", "auto").layout == WorkerLayout(2, 1)


def test_another_runtime_version_is_proved_anew(bench: Bench) -> None:
    bench.auto()
    (bench.control / "wrong").touch()
    (bench.control / "version").write_text("2")
    with pytest.raises(AcceleratorUnavailableError, match="refused"):
        bench.selector().select("scripted", "auto")


def test_what_came_back_is_proved_whatever_is_kept(bench: Bench) -> None:
    bench.auto()
    bench.selector().confirm("scripted", "auto")
    (bench.control / "wrong").touch()
    with pytest.raises(AcceleratorUnavailableError):
        bench.selector().confirm("scripted", "auto")


def test_a_survey_proves_nothing(bench: Bench) -> None:
    survey = bench.selector().survey("auto")
    assert survey.best is None
    assert "--prove" in survey.why
    assert not bench.file.exists()
    taken = bench.auto().accelerator.name
    assert bench.selector().survey("auto").best == taken


def test_alone_another_one_needs_its_proof(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {**PATHS, "cpu": "tests.fakes.scripted_accelerator:no_cpu"})
    (bench.control / "wrong").touch()
    with pytest.raises(AcceleratorUnavailableError, match=r"none is available.*refused"):
        bench.auto()


def test_labels_of_the_owner_leave_the_cpu(tmp_path: Path, data: Samples) -> None:
    """Nothing can be compared then, and the reference is what remains."""
    bench = Bench(tmp_path)
    model = tmp_path / "own.tflite"
    source = data / "models/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    content = bytearray(source.read_bytes())
    content[-1] ^= 1  # another hash, so that it is not known by the catalogue
    model.write_bytes(content)
    model.with_suffix(".labels.txt").write_text("\n".join(f"thing {n}" for n in range(91)))
    chosen = bench.selector().select("auto", str(model))
    assert chosen.accelerator.name == "cpu"
    assert bench.selector().select("auto", str(model)).accelerator.name == "cpu"


def test_mended_is_forgiven(bench: Bench) -> None:
    failures: dict[str, Proof] = {}
    (bench.control / "wrong").touch()
    selector = bench.selector(failures)
    with pytest.raises(AcceleratorUnavailableError):
        selector.select("scripted", "auto")
    assert failures
    (bench.control / "wrong").unlink()
    selector.confirm("scripted", "auto")
    assert not failures
    assert selector.select("scripted", "auto").proof is not None


def test_alone_the_cpu_needs_no_proof(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"cpu": PATHS["cpu"]})
    assert bench.auto().accelerator.name == "cpu"
    assert not bench.file.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1}', b"\xff"])
def test_a_damaged_file_costs_new_proofs_only(content: bytes, bench: Bench) -> None:
    bench.file.write_bytes(content)
    assert bench.auto().accelerator.name in {"cpu", "scripted"}
    assert json.loads(bench.file.read_text())


def test_a_folder_that_cannot_be_written_costs_new_proofs_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = ProofStore(tmp_path / "file" / "accelerators.json")
    proof = Proof(accelerator="x", model_id="m", right=True, reason="")
    store.keep("k", proof)
    assert store.get("k") == proof


def test_unknown_names_and_models(bench: Bench) -> None:
    with pytest.raises(UsageError, match="known: auto, cpu, scripted"):
        bench.selector().select("warp", "auto")
    with pytest.raises(ModelError, match="not in the catalogue"):
        bench.selector().select("auto", "yolo")


def test_other_weights_are_held_against_the_truth(data: Samples) -> None:
    """Stand-in models have no twin: what is in the picture decides."""
    catalogue = Catalogue(find_models_folder())
    cpu = Registry().get("cpu")
    model = catalogue.load(
        str(data / "models/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"), cpu.target
    )
    proof = Prover(cpu, SystemClock()).prove(cpu, model, None, WorkerLayout(1, 1))
    assert proof.right
    assert proof.reason == "sees what is in the golden pictures"


# --- parity

CAT = (0.1, 0.1, 0.5, 0.5, 0.9, 17)


def test_the_golden_pictures_differ_and_hold_known_objects() -> None:
    pictures = [golden_frame(seconds) for seconds in GOLDEN_SECONDS]
    assert not np.array_equal(pictures[0][0].planes[0], pictures[1][0].planes[0])
    assert all({"cat", "person"} <= {one.label for one in truth} for _, truth in pictures)


@pytest.mark.parametrize(
    ("got", "says"),
    [
        ((), "the reference sees label 17"),
        (((0.1, 0.1, 0.5, 0.5, 0.9, 18),), "the reference sees label 17"),
        (((0.1, 0.1, 0.5, 0.4, 0.9, 17),), "IoU 0.75"),
        (((0.1, 0.1, 0.5, 0.5, 0.7, 17),), "another score"),
        ((CAT, (0.6, 0.6, 0.9, 0.9, 0.9, 1)), "the reference does not"),
    ],
)
def test_differences_are_named(got: tuple[tuple[float, ...], ...], says: str) -> None:
    assert says in differences(seen(*got), seen(CAT))  # type: ignore[arg-type]


def test_weak_detections_may_come_and_go() -> None:
    assert not differences(seen(CAT, (0.6, 0.6, 0.9, 0.9, 0.55, 1)), seen(CAT))
    assert not differences(seen(CAT), seen(CAT, (0.6, 0.6, 0.9, 0.9, 0.55, 1)))


@given(
    st.lists(
        st.tuples(
            st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1),
            st.floats(0, 1), st.integers(1, 90),
        ),
        max_size=5,
        unique_by=lambda row: row[5],
    )
)  # fmt: skip
def test_everything_agrees_with_itself(rows: list[tuple[float, ...]]) -> None:
    one = seen(*rows)  # type: ignore[arg-type]
    assert not differences(one, one)


def test_the_truth_must_be_half_found() -> None:
    truth = (TrueBox("cat", 0.1, 0.1, 0.4, 0.4), TrueBox("person", 0.6, 0.6, 0.3, 0.3))
    assert not misses(seen(CAT), ("cat",), truth)
    assert "sees dog where cat, person are" in misses(seen(CAT), ("dog",), truth)
    assert "sees nothing" in misses(seen(), (), truth)


def test_overlap() -> None:
    boxes = np.asarray([[0, 0, 1, 1], [0, 0, 0.5, 1], [2, 2, 3, 3]], np.float32)
    box = np.asarray([0, 0, 1, 1], np.float32)
    assert iou(boxes, box).tolist() == pytest.approx([1, 0.5, 0])
