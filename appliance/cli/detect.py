"""``appliance detect``: run the detector on pictures and print what it sees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.common import accelerator_settings, add_accelerator_arguments, print_json
from appliance.clock import NS_PER_MS, SystemClock
from appliance.config import Settings
from appliance.config.settings import ModelSettings
from appliance.errors import BadInputError, FrameError, MediaError, UsageError
from appliance.reports.encode import rounded_box
from appliance.selection.choose import select
from appliance.selection.environment import Environment
from appliance.sources.images import list_images, read_image
from appliance.values import Detections
from appliance.vision.preprocess import Preprocessor, View, boxes_to_source

if TYPE_CHECKING:
    import argparse

    from appliance.accelerators import Detector
    from appliance.models import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    defaults = ModelSettings()
    parser.add_argument("image", nargs="+", type=Path, help="pictures, or folders of pictures")
    add_accelerator_arguments(parser)
    parser.add_argument("--threshold", type=float, default=defaults.score_threshold, metavar="T")
    parser.add_argument("--fit", choices=("stretch", "letterbox"), default="stretch")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON line a picture")


def run(options: argparse.Namespace) -> int:
    """Detect on every picture; a damaged one is reported and costs exit code 65 at the end."""
    if not 0 <= options.threshold <= 1:
        raise UsageError(f"--threshold {options.threshold}: expected 0 to 1")
    settings = Settings(
        model=ModelSettings(name=options.model),
        accelerator=accelerator_settings(options, workers=1, threads=options.threads),
    )
    chosen = select(settings, Environment())
    model = chosen.model
    detector = chosen.accelerator.open(model, threads=options.threads)
    preprocessor = Preprocessor(View(fit=options.fit), model.input_width, model.input_height)
    exit_code = 0
    try:
        for path in _paths(options.image):
            try:
                row = _detect(path, detector, preprocessor, model, options.threshold)
            except (FrameError, MediaError) as error:
                print(f"appliance detect: {error}", file=sys.stderr)
                exit_code = BadInputError.exit_code
                continue
            if options.json:
                print_json(row)
            else:
                _print_row(row)
    finally:
        detector.close()
    return exit_code


def _paths(targets: list[Path]) -> list[Path]:
    return [
        path
        for target in targets
        for path in (list_images(target) if target.is_dir() else [target])
    ]


def _detect(
    path: Path,
    detector: Detector,
    preprocessor: Preprocessor,
    model: Model,
    threshold: float,
) -> dict[str, Any]:
    if not path.is_file():
        raise MediaError(f"{path}: no such picture or folder")
    clock = SystemClock()
    frame = read_image(path, clock, 0)
    with detector.input() as tensor:
        plan = preprocessor.run(frame, tensor)
    del tensor
    began_ns = clock.monotonic_ns()
    detector.infer()
    inference_ms = (clock.monotonic_ns() - began_ns) / NS_PER_MS
    seen = detector.detections(threshold)
    boxes = boxes_to_source(seen.boxes, plan, model.input_width, model.input_height)
    found = Detections.of(boxes, seen.scores, seen.label_ids)
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.label_ids.tolist(), strict=True)
    return {
        "image": str(path),
        "width": frame.width,
        "height": frame.height,
        "detections": [
            {
                "label": model.labels.name(label_id),
                "label_id": label_id,
                "score": round(score, 4),
                "box": rounded_box(box),
            }
            for box, score, label_id in rows
        ],
        "inference_ms": round(inference_ms, 3),
    }


def _print_row(row: dict[str, Any]) -> None:
    print(f"{row['image']}: {row['width']}x{row['height']}, {row['inference_ms']:.1f} ms")
    for one in row["detections"]:
        box = one["box"]
        print(
            f"  {one['label']:<16} {one['score']:.2f}  "
            f"x {box.x:.3f} y {box.y:.3f} w {box.w:.3f} h {box.h:.3f}"
        )
    if not row["detections"]:
        print("  nothing above the threshold")
