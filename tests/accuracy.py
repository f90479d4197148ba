"""How well a model sees, judged by pycocotools through the command line."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.cli import main


@dataclass(frozen=True)
class Accuracy:
    pictures: int
    map: float
    """Mean average precision over intersections of 0.50 to 0.95, as COCO counts."""
    ap50: float


def measure(folder: Path, accelerator: str, model: str) -> Accuracy:
    """Judge the detections in ``folder/val2017`` by the boxes in ``folder/annotations``.

    The label file may tell of more pictures than there are; those are left out.
    """
    # More threads of ncnn wait for each other awake: beside other work, seconds a picture.
    common = ("--threshold", "0.05", "--threads", "1")
    arguments = (*common, "--accelerator", accelerator, "--model", model)
    return judge(folder, detect(str(folder / "val2017"), *arguments))


def judge(folder: Path, lines: list[dict[str, Any]]) -> Accuracy:
    """Judge what ``appliance detect --json`` says, a line for each picture."""
    with contextlib.redirect_stdout(io.StringIO()):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        truth = COCO(str(folder / "annotations/instances_val2017.json"))
        ids = {image["file_name"]: image["id"] for image in truth.dataset["images"]}
    rows: list[dict[str, Any]] = []
    seen: list[int] = []
    for line in lines:
        seen.append(ids[Path(line["image"]).name])
        for one in line["detections"]:
            box = one["box"]
            w, h = line["width"], line["height"]
            rows.append(
                {
                    "image_id": seen[-1],
                    "category_id": one["label_id"],
                    "score": one["score"],
                    "bbox": [box["x"] * w, box["y"] * h, box["w"] * w, box["h"] * h],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCOeval(truth, truth.loadRes(rows), "bbox")
        coco.params.imgIds = sorted(seen)
        coco.evaluate()
        coco.accumulate()
        coco.summarize()
    return Accuracy(len(seen), map=float(coco.stats[0]), ap50=float(coco.stats[1]))


def detect(*arguments: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["detect", *arguments, "--json"]) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]
