"""From a file's bytes to a model: its interface, anchors, labels and weights, all checked."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from appliance.errors import ModelError
from appliance.models.files import MODELS_VARIABLE, verify_part
from appliance.models.graph import GraphInfo, PostProcess, TensorInfo
from appliance.models.metadata import class_names
from appliance.models.model import InputKind, Labels, Model, read_labels, read_model_bytes
from appliance.models.ncnn import inspect_ncnn
from appliance.models.onnx import inspect_onnx
from appliance.models.outputs import Recognised, blind_head, build_head, check_input
from appliance.models.own_labels import fit_names, own_labels, read_own_labels
from appliance.models.tflite import inspect_tflite
from appliance.vision.heads import BlindHead, RawSsdHead

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.models.manifest import Format, ModelEntry

log = logging.getLogger(__name__)

ANCHORS = "ssd_anchors.npy"
DESCRIBED = ("raw-ssd", "postprocessed")
"""Heads that a manifest can describe where the file's format does not."""
POSTPROCESSED_TENSORS = ("boxes", "classes", "scores", "count")
# Formats that say what they need; the others are described by their entry of the manifest.
_INSPECTORS: dict[str, Callable[[bytes, str], GraphInfo]] = {
    "tflite": inspect_tflite,
    "onnx": inspect_onnx,
    "ncnn": inspect_ncnn,
}
_WITHOUT_SHAPES = frozenset({"ncnn"})
"""Formats that name their outputs but not their shapes."""
_KINDS: dict[str, InputKind] = {"uint8": "uint8", "int8": "int8"}


class ModelReader:
    """Reads models whose other parts, such as anchors, may lie in a common folder.

    Args:
        folder: holds anchors and labels that do not lie beside a model.
        timing: take models that are no detectors too; what they see is not decoded.
    """

    def __init__(self, folder: Path, *, timing: bool) -> None:
        self._folder = folder
        self._timing = timing
        self._nameless: set[Path] = set()

    def read(
        self,
        content: bytes,
        name: str,
        path: Path,
        form: Format,
        entry: ModelEntry | None,
        *,
        labels_file: Path | None = None,
    ) -> Model:
        """Return the model of a file's bytes.

        Args:
            content: the file.
            name: how to call the model.
            path: where the file lies.
            form: its format.
            entry: what the manifest says of it; None for the owner's own.
            labels_file: of an own model, instead of what is found.

        Raises:
            ModelError: damaged, or no detector that we can decode.
            LabelsError: its labels do not fit.
        """
        graph = _interface(content, name, form, entry)
        output = entry.output if entry else None
        labels = entry.labels if entry else None
        try:
            found = build_head(
                graph,
                name,
                anchors=self._anchors(path, graph, entry),
                scales=output.scales if output else (10.0, 10.0, 5.0, 5.0),
                label_offset=labels.offset if labels else None,
                convention=output.convention if output else "",
            )
            check_input(graph.inputs[0], found, name, form, entry.input if entry else None)
        except ModelError:
            if not self._timing:
                raise
            found = Recognised(blind_head(graph, name), "", None, 0)
        head, classes, offset = found.head, found.classes, found.label_offset
        weights = self._weights(path, name, entry, form)
        layout, height, width = _picture(graph.inputs[0])
        spec = entry.input if entry else None
        if spec and (spec.height, spec.width, spec.dtype) != (height, width, graph.inputs[0].dtype):
            raise ModelError(
                f"model {name}: input is {graph.inputs[0].dtype} {width}x{height}, the manifest "
                f"says {spec.dtype} {spec.width}x{spec.height}"
            )
        names = (
            Labels(())
            if isinstance(head, BlindHead)
            else self._labels(path, entry, classes, offset)
            if entry is not None
            else self._own_labels(content, path, labels_file, found, graph.metadata)
        )
        if isinstance(head, RawSsdHead) and len(names.names) not in {0, (classes or 0) + offset}:
            head = replace(head, label_ids=names.columns())
        return Model(
            id=name,
            content=content,
            sha256=_sha256(content, weights),
            format=form,
            input_width=width,
            input_height=height,
            input_kind=_KINDS.get(graph.inputs[0].dtype, "float32"),
            input_layout=layout,
            input_scale=spec.scale if spec else found.normalisation.scale,
            input_offset=spec.offset if spec else found.normalisation.offset,
            input_order=spec.order if spec else found.normalisation.order,
            head=head,
            labels=names,
            path=path,
            weights=weights,
            custom_operators=graph.custom_operators,
            convention=found.convention,
        )

    def verify_parts(self, path: Path, entry: ModelEntry) -> None:
        """Raise ModelError unless what goes with the entry's model at ``path`` is whole."""
        self._weights(path, entry.id, entry, entry.format)
        for file in (entry.labels.file, entry.output.anchors if entry.output else ""):
            if file:
                self._beside(path, file, entry)

    def _weights(self, path: Path, name: str, entry: ModelEntry | None, form: str) -> Path | None:
        """Return the checked second file of formats that have one."""
        if form != "ncnn":
            return None
        weights = path.with_name(entry.weights) if entry else path.with_suffix(".bin")
        if entry is not None:
            verify_part(read_model_bytes(weights), entry, weights, entry.weights_sha256)
        elif not weights.is_file():
            raise ModelError(f"model {name}: its weights {weights} are not here")
        return weights

    def _labels(self, path: Path, entry: ModelEntry, classes: int | None, offset: int) -> Labels:
        if not entry.labels.file:
            return Labels(())
        return read_labels(
            self._beside(path, entry.labels.file, entry), classes=classes, offset=offset
        )

    def _own_labels(
        self,
        content: bytes,
        path: Path,
        file: Path | None,
        found: Recognised,
        metadata: Mapping[str, str],
    ) -> Labels:
        """Return the labels of a model that no manifest knows; none where it has none, said once.

        Its head counts the background as class 0, or has none and adds 1.
        """
        raw, classes = isinstance(found.head, RawSsdHead), found.classes
        known = classes - 1 if raw and classes is not None else classes
        if file is not None:
            return read_own_labels(file, known, sparse=raw)
        names = class_names(metadata)
        if names is not None:
            return fit_names(names, known, f"labels inside {path}")
        labels = own_labels(content, path, known, sparse=raw)
        if labels is not None:
            return labels
        if path not in self._nameless:
            self._nameless.add(path)
            log.warning(
                "model %s: has no labels, so what it sees is called class_1, class_2, ... "
                "(put them beside it, one name a line: %s)",
                path,
                path.with_name(f"{path.stem}.labels.txt"),
            )
        return Labels(())

    def _anchors(self, path: Path, graph: GraphInfo, entry: ModelEntry | None) -> Path:
        """Return the file of anchors: the entry's, that of the input's size, or the usual one."""
        if entry and entry.output and entry.output.anchors:
            return self._beside(path, entry.output.anchors, entry)
        side = max(graph.inputs[0].shape[1:3], default=0)
        sized = self._beside(path, f"ssd_anchors_{side}.npy", entry)
        return sized if sized.is_file() else self._folder / ANCHORS

    def _beside(self, path: Path, file: str, entry: ModelEntry | None) -> Path:
        """Return where a model's anchors or labels lie: beside it, or with the manifest.

        Those beside a built model were built too, and are checked as it is.
        """
        beside = path.with_name(file)
        if not beside.is_file() or beside.parent.resolve() == self._folder.resolve():
            return self._folder / file
        if entry is not None and entry.kind == "built":
            verify_part(read_model_bytes(beside), entry, beside)
        return beside


def _sha256(content: bytes, weights: Path | None) -> str:
    """Return the hash of a model's files together."""
    whole = hashlib.sha256(content)
    if weights is not None:
        whole.update(weights.read_bytes())
    return whole.hexdigest()


def _interface(content: bytes, name: str, form: str, entry: ModelEntry | None) -> GraphInfo:
    """Return what the file says of itself, completed by its entry of the manifest."""
    graph = _INSPECTORS[form](content, name) if form in _INSPECTORS else None
    if graph is not None and form not in _WITHOUT_SHAPES:
        return graph
    if entry is None or entry.input is None or entry.output is None:
        raise ModelError(
            f"model {name}: a {form} file does not say how its outputs are read",
            hint="describe it in a manifest.toml beside it, in the folder that "
            f"{MODELS_VARIABLE} names",
        )
    outputs = _described(entry, name)
    if graph is not None:
        missing = [one.name for one in outputs if one.name not in {o.name for o in graph.outputs}]
        if missing:
            raise ModelError(f"model {name}: has no output {missing[0]!r}")
        return GraphInfo(graph.inputs, outputs, postprocess=_described_order(entry, outputs))
    picture = (1, entry.input.height, entry.input.width, 3)
    return GraphInfo(
        (TensorInfo("picture", picture, entry.input.dtype),),
        outputs,
        postprocess=_described_order(entry, outputs),
    )


def _described(entry: ModelEntry, name: str) -> tuple[TensorInfo, ...]:
    """Return the outputs as the manifest describes them."""
    output = entry.output
    if output is not None and output.convention not in DESCRIBED:
        raise ModelError(
            f"model {name}: a {entry.format} file with a {output.convention} head is not known",
            hint=f"of such files: {', '.join(DESCRIBED)}",
        )
    if output is None or output.convention == "postprocessed":
        shapes: tuple[tuple[int, ...], ...] = ((1, 1, 4), (1, 1), (1, 1), (1,))
        names = output.tensors if output and output.tensors else POSTPROCESSED_TENSORS
    else:
        names, shapes = output.tensors, ((1, output.boxes, 4), (1, output.boxes, output.classes))
    if len(names) != len(shapes):
        raise ModelError(f"model {name}: the manifest must name {len(shapes)} output tensors")
    pairs = zip(names, shapes, strict=True)
    return tuple(TensorInfo(one, shape, "float32") for one, shape in pairs)


def _described_order(entry: ModelEntry, outputs: tuple[TensorInfo, ...]) -> PostProcess | None:
    """Return the outputs of post-processing in the order in which the manifest names them."""
    if entry.output is None or entry.output.convention != "postprocessed":
        return None
    boxes, classes, scores, count = (one.name for one in outputs)
    return PostProcess(boxes, classes, scores, count)


def _picture(tensor: TensorInfo) -> tuple[Literal["nhwc", "nchw"], int, int]:
    """Return memory layout, height and width of a picture input (checked by build_head)."""
    if tensor.shape[3] == 3:
        return "nhwc", tensor.shape[1], tensor.shape[2]
    return "nchw", tensor.shape[2], tensor.shape[3]
