"""The entries of ``models/manifest.toml``: what a model is, where it comes from, what it needs."""

from __future__ import annotations

from typing import Literal

import msgspec

COCO_LABELS = "coco_labels.txt"
Format = Literal["tflite", "onnx", "ncnn", "graphdef", "hef", "rknn", "rpk"]

Convention = Literal["raw-ssd", "postprocessed", "yolov8", "yolox", "nanodet", "end-to-end"]


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The picture a model wants: rows first; floats are pixel * scale + offset.

    ``scale`` and ``offset`` are one number, or one for each colour in ``order``.
    """

    width: int
    height: int
    dtype: Literal["uint8", "int8", "float32"]
    scale: float | tuple[float, float, float] = 1.0
    offset: float | tuple[float, float, float] = 0.0
    order: Literal["rgb", "bgr"] = "rgb"


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the outputs are read: ``raw-ssd`` with anchors and scales, ``postprocessed``, others.

    The others have no anchors, and the model's file tells their shapes. ``tensors`` names the
    outputs where the file's format does not say (boxes and logits; or boxes, classes, scores and
    count); ``boxes`` and ``classes`` are the counts of a raw head.
    """

    convention: Convention
    anchors: str = ""
    tensors: tuple[str, ...] = ()
    boxes: int = 1917
    classes: int = 91
    scales: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)


class LabelsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The label file, and the label id of class number 0."""

    file: str = COCO_LABELS
    offset: int = 0


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the weights come from: package, version, its sha256; or an address."""

    package: str = ""
    version: str = ""
    sha256: str = ""
    url: str = ""
    member: str = ""


class AccuracySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measured accuracy, with the data it was measured on."""

    dataset: str
    map: float
    ap50: float


class SpeedSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measured rate, end to end, and how.

    ``ratio`` is to the default model in the same run, which carries over to other machines better
    than ``fps`` does.
    """

    machine: str
    runtime: str
    layout: str
    fps: float
    ratio: float
    measured: str


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalogue.

    Entries of one ``family`` are made from the same weights, entries of one ``task`` see the same
    labels, so one may stand in for the other. ``accelerator`` is set where a file runs on that
    one alone. ``weights`` is a second file that some formats have. ``per_tensor`` says that all of
    its weights are 8 bit with one scale for each tensor, none with one for each channel.

    What is bundled is pinned here by size and hash. What is built is not: another processor rounds
    otherwise and builds other bytes, so the build vouches for them with a record beside each file.
    What the owner added is pinned in a manifest of its own; without a label file it has no names.
    """

    id: str
    title: str
    file: str
    bytes: int = 0
    sha256: str = ""
    kind: Literal["bundled", "built", "fetched", "system", "own"]
    format: Format = "tflite"
    family: str = ""
    task: str = ""
    weights: str = ""
    weights_sha256: str = ""
    package: str = ""
    license: str = ""
    input: InputSpec | None = None
    output: OutputSpec | None = None
    labels: LabelsSpec = LabelsSpec()
    source: SourceSpec = SourceSpec()
    accuracy: tuple[AccuracySpec, ...] = ()
    speed: tuple[SpeedSpec, ...] = ()
    accelerator: str = ""
    per_tensor: bool = False

    def __post_init__(self) -> None:
        if self.kind == "built" and (self.bytes or self.sha256 or self.weights_sha256):
            raise ValueError(
                f"model {self.id}: is built, so its bytes and sha256 cannot be pinned; the record "
                "that its build leaves beside each file counts"
            )
        weights_pinned = bool(self.weights_sha256) == bool(self.weights)
        if self.kind == "bundled" and not (self.bytes and self.sha256 and weights_pinned):
            raise ValueError(f"model {self.id}: is bundled, so it must be pinned: bytes, sha256")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``manifest.toml``."""

    default: str
    model: tuple[ModelEntry, ...]
