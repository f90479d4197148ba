"""The CPU detector: contract of every accelerator, and the model's accuracy on real pictures."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.accelerators import REGISTRY, Detector, choose, probe_all
from appliance.app import load_model
from appliance.cli import main
from appliance.errors import UsageError

if TYPE_CHECKING:
    from appliance.models import Model


def look(detector: Detector, value: int) -> None:
    with detector.input() as picture:
        picture[:] = value
    del picture
    detector.infer()


@pytest.mark.parametrize("name", REGISTRY)
def test_every_accelerator_keeps_the_contract(name: str, default_model: Model) -> None:
    detector = choose(name).accelerator.open(default_model, threads=1)
    with detector.input() as picture:
        assert picture.shape == (300, 300, 3)
        assert picture.dtype == np.uint8
    del picture
    look(detector, 0)
    dark = detector.detections(0.3)
    assert (dark.scores >= 0.3).all()
    look(detector, 0)
    assert detector.detections(0.3).scores.tolist() == dark.scores.tolist()
    detector.close()
    detector.close()


def test_probing_is_quick_and_complete(tmp_path: Path) -> None:
    assert [finding.name for finding in probe_all(tmp_path)] == list(REGISTRY)


def test_an_unknown_accelerator_lists_the_known() -> None:
    with pytest.raises(UsageError, match="known: auto, cpu"):
        choose("warp")


def test_seed_and_starter_models_find_the_fruit(data: Path) -> None:
    for name in ("seed_mobilenet_v1", "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29"):
        found = detect(
            str(data / "fruit.jpg"),
            "--model",
            str(data / f"models/{name}.tflite"),
            "--threshold",
            "0.4",
        )
        labels = {one["label"] for one in found[0]["detections"]}
        assert labels & {"banana", "apple"}, name


def test_the_default_model_finds_banana_and_apple(data: Path) -> None:
    (found,) = detect(str(data / "fruit.jpg"))
    by_label = {one["label"]: one for one in found["detections"]}
    assert by_label["banana"]["label_id"] == 52
    assert by_label["apple"]["label_id"] == 53
    assert (found["width"], found["height"]) == (3888, 2916)


def test_mean_average_precision_on_coco_samples(data: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        truth = COCO(str(data / "coco-tiny/annotations/instances_val2017.json"))
        ids = {image["file_name"]: image for image in truth.dataset["images"]}
    rows: list[dict[str, Any]] = []
    for line in detect(str(data / "coco-tiny/val2017"), "--threshold", "0.05"):
        image = ids[Path(line["image"]).name]
        for one in line["detections"]:
            box = one["box"]
            w, h = line["width"], line["height"]
            rows.append(
                {
                    "image_id": image["id"],
                    "category_id": one["label_id"],
                    "score": one["score"],
                    "bbox": [box["x"] * w, box["y"] * h, box["w"] * w, box["h"] * h],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert judge.stats[0] >= 0.31


def test_a_float_model_runs_when_it_was_built() -> None:
    try:
        model = load_model("ssdlite-mobilenet-v2-float32")
    except ValueError as error:
        pytest.skip(f"not built here: {error}")
    detector = choose("cpu").accelerator.open(model, threads=1)
    look(detector, 128)
    assert (detector.detections(0.3).scores >= 0.3).all()
    detector.close()


def detect(*arguments: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["detect", *arguments, "--json"]) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]
