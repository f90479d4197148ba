"""Choosing among accelerators, on a manual clock; with real child processes: test_selection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from appliance.accelerators import Machine, Target
from appliance.clock import ManualClock
from appliance.errors import AcceleratorUnavailableError, ModelError, UsageError
from appliance.models import Catalogue, find_models_folder
from appliance.selection import Proof, ProofStore, Selection, Selector, WorkerLayout
from appliance.selection.proof_store import proof_key
from tests.fakes.in_process import InProcess, Known
from tests.helpers import seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.accelerators import Accelerator, Finding
    from appliance.models import Model

CATALOGUE = Catalogue(find_models_folder())
HOMELESS = Target("homeless", frozenset({"nothing that exists"}))


class Bench:
    """A CPU that does ten inferences a second, and a fast accelerator that does twenty."""

    def __init__(self, folder: Path, *more: dict[str, Any], **fast: Any) -> None:
        self.clock = ManualClock()
        self.file = folder / "proofs.json"
        self.failures: dict[str, Proof] = {}
        fields = [{"name": "cpu"}, {"name": "fast", "seconds": 0.05, **fast}, *more]
        self.made = {one["name"]: InProcess(clock=self.clock, **one) for one in fields}
        self.laid: list[tuple[str, str, str]] = []

    @property
    def fast(self) -> InProcess:
        return self.made["fast"]

    def selector(self, *names: str) -> Selector:
        def layout_of(finding: Finding, accelerator: Accelerator, model: Model) -> WorkerLayout:
            self.laid.append((finding.name, accelerator.name, model.id))
            return WorkerLayout(2, 3)

        chosen = [self.made[name] for name in names or self.made]
        return Selector(
            Known(*chosen), CATALOGUE, Machine(), store=ProofStore(self.file, self.failures),
            clock=self.clock, layout_of=layout_of,
        )  # fmt: skip

    def auto(self) -> Selection:
        return self.selector().select("auto", "auto")

    def inferences(self) -> int:
        return sum(one.inferences for each in self.made.values() for one in each.made)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def detail(findings: tuple[Finding, ...], name: str) -> str:
    return next(one.detail for one in findings if one.name == name)


# --- auto


def test_the_fastest_that_is_right_is_taken_and_all_is_said(bench: Bench) -> None:
    chosen = bench.auto()
    assert chosen.accelerator is bench.fast
    assert chosen.layout == WorkerLayout(2, 3)
    assert chosen.proof is not None
    assert chosen.proof.fps > 10
    assert [one.name for one in chosen.findings] == ["cpu", "fast"]
    assert "agrees with" in detail(chosen.findings, "fast")
    assert "inferences/s" in detail(chosen.findings, "cpu")
    assert all(one.found for one in chosen.findings)
    model = chosen.model.id
    assert bench.laid == [("cpu", "cpu", model), ("fast", "fast", model)]


def test_the_aim_decides(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    store = ProofStore(bench.file)
    for name, fps, ms in (("cpu", 5.0, 1.0), ("fast", 50.0, 9.0)):
        finding = Known(*bench.made.values()).probe(name, Machine())
        proof = Proof(
            accelerator=name, model_id="m", right=True, reason="", fps=fps, inference_ms=ms
        )
        store.keep(proof_key(finding, CATALOGUE.load("auto")), proof)
    for aim, name in (("throughput", "fast"), ("latency", "cpu")):
        assert bench.selector().select("auto", "auto", aim).accelerator.name == name  # type: ignore[arg-type]
        survey = bench.selector().survey("auto", aim)  # type: ignore[arg-type]
        assert survey.best == name
        assert survey.why == f"proved right, and best for {aim}"
        assert not survey.unproved
    assert bench.inferences() == 0  # what is kept is not proved again


def test_one_that_is_wrong_is_refused_and_tried_again_at_the_next_start(bench: Bench) -> None:
    bench.fast.sees = lambda _: seen()
    chosen = bench.auto()
    assert chosen.accelerator.name == "cpu"
    assert detail(chosen.findings, "fast").startswith("here, but refused: the reference sees")
    assert not next(one.found for one in chosen.findings if one.name == "fast")
    before = bench.inferences()
    bench.auto()
    assert bench.inferences() == before  # known in this process
    bench.failures.clear()
    bench.fast.sees = bench.made["cpu"].sees
    assert bench.auto().accelerator.name == "fast"


def test_alone_the_reference_needs_no_proof(bench: Bench) -> None:
    chosen = bench.selector("cpu").select("auto", "auto")
    assert (chosen.accelerator.name, chosen.proof) == ("cpu", None)
    assert bench.inferences() == 0


def test_alone_another_needs_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.made["cpu"].found = False
    chosen = bench.auto()
    assert chosen.accelerator.name == "fast"
    assert chosen.proof is not None
    assert detail(chosen.findings, "cpu") == "not plugged in"


def test_nothing_at_all_is_said_with_every_reason(bench: Bench) -> None:
    for one in bench.made.values():
        one.found = False
    message = "^accelerator auto: none is available: cpu: not plugged in; fast: not plugged in$"
    with pytest.raises(AcceleratorUnavailableError, match=message):
        bench.auto()


def test_one_without_a_model_is_left_out_and_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, target=HOMELESS)
    chosen = bench.auto()
    assert chosen.accelerator.name == "cpu"
    assert chosen.proof is None  # it is alone
    assert detail(chosen.findings, "fast").startswith("here, but model ")
    assert not next(one.found for one in chosen.findings if one.name == "fast")


def test_without_any_model_the_references_reason_is_raised(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"name": "third", "target": HOMELESS}, target=HOMELESS)
    bench.made["cpu"].target = Target("the cpu's", frozenset({"nothing"}))
    with pytest.raises(ModelError, match="the cpu's takes nothing"):
        bench.auto()
    bench.made["cpu"].found = False
    bench.made["third"].target = Target("the third's", frozenset({"nothing"}))
    with pytest.raises(ModelError, match="homeless takes"):  # the first reason there was
        bench.auto()


def test_one_that_opens_no_detectors_is_no_candidate(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_detectors=0)
    chosen = bench.auto()
    assert chosen.accelerator.name == "cpu"
    assert chosen.proof is None
    assert detail(chosen.findings, "fast") == "here"
    assert not bench.selector().must_prove("fast", "auto")
    assert [one.accelerator.name for one in bench.selector().usable("auto")] == ["cpu"]


@pytest.mark.parametrize("unfit", [{"found": False}, {"max_detectors": 0}, {"target": HOMELESS}])
def test_one_that_cannot_be_taken_is_no_end_of_the_search(
    unfit: dict[str, Any], tmp_path: Path
) -> None:
    bench = Bench(tmp_path, {"name": "third"}, **unfit)
    assert [one.accelerator.name for one in bench.selector().usable("auto")] == ["cpu", "third"]


# --- by name


def test_one_by_name_without_a_model_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, target=HOMELESS)
    for ask in (bench.selector().select, bench.selector().unproved):
        with pytest.raises(ModelError, match="homeless takes"):
            ask("fast", "auto")


def test_the_reference_by_name_is_not_proved(bench: Bench) -> None:
    chosen = bench.selector().select("cpu", "auto")
    assert (chosen.proof, chosen.layout) == (None, WorkerLayout(2, 3))
    assert [one.name for one in chosen.findings] == ["cpu"]
    assert bench.inferences() == 0


def test_another_by_name_is_proved_and_its_proof_kept(bench: Bench) -> None:
    chosen = bench.selector().select("fast", "auto")
    assert chosen.accelerator is bench.fast
    assert chosen.proof is not None
    assert [one.name for one in chosen.findings] == ["fast"]
    assert "agrees with" in chosen.findings[0].detail
    before = bench.inferences()
    assert bench.selector().select("fast", "auto").proof == chosen.proof
    assert bench.inferences() == before


def test_a_degraded_one_by_name_is_taken(bench: Bench) -> None:
    bench.fast.degraded = "it runs on CPU"
    chosen = bench.selector().select("fast", "auto")
    assert chosen.proof is not None
    assert chosen.proof.degraded
    assert "degraded: it runs on CPU" in chosen.findings[0].detail
    assert bench.auto().accelerator.name == "cpu"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"found": False}, "^accelerator fast: not plugged in$"),
        ({"sees": lambda _: seen()}, "^accelerator fast: refused: the reference sees label 17"),
        ({"opens": 0}, "^accelerator fast: refused: only 0 can be open$"),
    ],
)
def test_one_by_name_that_cannot_be_taken(fields: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(AcceleratorUnavailableError, match=says):
        Bench(tmp_path, **fields).selector().select("fast", "auto")


def test_unknown_names_are_refused(bench: Bench) -> None:
    selector = bench.selector()
    asks: list[Callable[[], object]] = [
        lambda: selector.select("warp", "auto"),
        lambda: selector.prove("warp", "auto"),
        lambda: selector.unproved("warp", "auto"),
        lambda: selector.stand_in("warp", "auto", "away"),
    ]
    for ask in asks:
        with pytest.raises(UsageError, match="warp"):
            ask()


def test_a_proof_by_name_is_told_whatever_it_says(bench: Bench) -> None:
    bench.fast.sees = lambda _: seen()
    proof = bench.selector().prove("fast", "auto")
    assert (proof.accelerator, proof.right) == ("fast", False)
    assert bench.selector().prove("cpu", "auto").right is True


def test_unproved_proves_nothing(bench: Bench) -> None:
    one = bench.selector().unproved("fast", "auto")
    assert (one.accelerator, one.proof, one.layout) == (bench.fast, None, WorkerLayout(2, 3))
    assert [finding.name for finding in one.findings] == ["fast"]
    assert bench.inferences() == 0


def test_what_is_usable_is_told_with_all_findings(bench: Bench) -> None:
    usable = bench.selector().usable("auto")
    assert [one.accelerator.name for one in usable] == ["cpu", "fast"]
    assert [[f.name for f in one.findings] for one in usable] == [["cpu", "fast"]] * 2
    bench.fast.found = False
    assert [one.accelerator.name for one in bench.selector().usable("auto")] == ["cpu"]


# --- surveys


def test_a_survey_says_what_is_missing_to_decide(bench: Bench) -> None:
    survey = bench.selector().survey("auto")
    assert (survey.best, survey.unproved) == (None, True)
    assert survey.why == "several are found and not all are proved: appliance probe --prove"
    assert [one.detail for one in survey.findings] == ["here", "here"]
    bench.selector().prove("fast", "auto")
    survey = bench.selector().survey("auto")
    assert (survey.best, survey.unproved) == (None, True)
    assert "agrees with" in detail(survey.findings, "fast")
    bench.selector().prove("cpu", "auto")
    survey = bench.selector().survey("auto")
    assert (survey.best, survey.unproved) == ("fast", False)


def test_a_survey_of_one_needs_no_proof(bench: Bench) -> None:
    survey = bench.selector("cpu").survey("auto")
    assert (survey.best, survey.why) == ("cpu", "the only one found that has a model")
    assert not survey.unproved


def test_a_survey_of_none(bench: Bench) -> None:
    bench.made["cpu"].found = False
    survey = bench.selector("cpu").survey("auto")
    assert (survey.best, survey.why) == (None, "none is found and has a model")
    assert not survey.unproved


def test_a_survey_of_some_that_are_all_wrong(bench: Bench) -> None:
    for one in bench.made.values():
        one.degraded = "it runs elsewhere"
    bench.selector().prove("fast", "auto")
    bench.selector().prove("cpu", "auto")
    survey = bench.selector().survey("auto")
    assert survey.best is None
    assert not survey.unproved


def test_what_must_be_proved_before_it_can_be_chosen(bench: Bench) -> None:
    assert bench.selector().must_prove("auto", "auto")
    assert bench.selector().must_prove("fast", "auto")
    assert not bench.selector().must_prove("cpu", "auto")
    assert not bench.selector("cpu").must_prove("auto", "auto")
    bench.auto()
    assert not bench.selector().must_prove("auto", "auto")
    assert not bench.selector().must_prove("fast", "auto")
    bench.fast.runtime = "2"
    assert bench.selector().must_prove("fast", "auto")
    bench.fast.found = False
    assert not bench.selector().must_prove("fast", "auto")
    bench.fast.found, bench.fast.target = True, HOMELESS
    assert not bench.selector().must_prove("fast", "auto")


# --- away, and back


def test_one_that_is_away_is_stood_in_for_by_the_references_model(bench: Bench) -> None:
    one = bench.selector().stand_in("fast", "auto", "unplugged")
    assert (one.accelerator, one.proof, one.layout) == (bench.fast, None, WorkerLayout(2, 3))
    assert one.model is bench.selector().select("cpu", "auto").model
    assert [(f.name, f.found, f.detail) for f in one.findings] == [
        ("fast", False, "unplugged"), ("cpu", True, "here"),
    ]  # fmt: skip
    assert bench.laid[1][:2] == ("fast", "fast")


def test_what_came_back_is_proved_whatever_is_kept_and_forgiven(bench: Bench) -> None:
    bench.fast.sees = lambda _: seen()
    with pytest.raises(AcceleratorUnavailableError):
        bench.selector().select("fast", "auto")
    assert len(bench.failures) == 1
    with pytest.raises(AcceleratorUnavailableError, match=r"^accelerator fast: the reference sees"):
        bench.selector().confirm("fast", "auto")
    assert len(bench.failures) == 1
    bench.fast.sees = bench.made["cpu"].sees
    bench.selector().confirm("fast", "auto")
    assert bench.failures == {}
    assert bench.fast.made[-1].threads == 1
    assert len(bench.fast.made) == 3


def test_what_came_back_elsewhere_is_not_taken(bench: Bench) -> None:
    bench.fast.degraded = "it runs on CPU"
    with pytest.raises(AcceleratorUnavailableError, match=r"^accelerator fast: it runs on CPU$"):
        bench.selector().confirm("fast", "auto")
    bench.fast.found = False
    with pytest.raises(AcceleratorUnavailableError, match="not plugged in"):
        bench.selector().confirm("fast", "auto")


def test_models_and_twins(bench: Bench) -> None:
    selector = bench.selector()
    model = selector.load("fast", "auto")
    assert model.format == "tflite"
    twin = selector.twin(model)
    assert twin is not None
    assert twin.format == "tflite"
    bench.made["cpu"].target = bench.fast.target = HOMELESS
    assert selector.twin(model) is None
    with pytest.raises(ModelError, match="homeless takes"):
        selector.load("fast", "auto")


def test_the_meter_is_the_selectors_own(bench: Bench) -> None:
    told: list[int] = []
    stop = threading.Event()
    meter = bench.selector().meter(stop, lambda: told.append(1))
    model = bench.selector().load("fast", "auto")
    (trial,) = meter.measure(bench.fast, model, model, (WorkerLayout(1, 1),), 0)
    assert (trial.fps, trial.wrong, told) == (20.0, "", [1])
    assert len(bench.made["cpu"].made) == 1  # what it saw was compared
    stop.set()
    assert meter.measure(bench.fast, model, model, (WorkerLayout(1, 1),), 0) == ()
