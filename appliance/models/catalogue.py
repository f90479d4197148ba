"""The catalogue of models (``models/manifest.toml``) and how a name becomes a checked model."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from appliance.errors import ModelError
from appliance.heads import BlindHead, RawSsdHead
from appliance.models.graph import GraphInfo, TensorInfo
from appliance.models.heads import blind_head, build_head
from appliance.models.manifest import COCO_LABELS, Manifest, ModelEntry
from appliance.models.model import InputKind, Labels, Model, read_labels, read_model_bytes
from appliance.models.ncnn import inspect_ncnn
from appliance.models.onnx import inspect_onnx
from appliance.models.tflite import inspect_tflite

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.models.manifest import Format, OutputSpec
    from appliance.target import Target

ANCHORS = "ssd_anchors.npy"
MODELS_VARIABLE = "APPLIANCE_MODELS"
AUTO = "auto"
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
_SUFFIXES: dict[str, Format] = {
    ".tflite": "tflite",
    ".onnx": "onnx",
    ".param": "ncnn",
    ".pb": "graphdef",
    ".hef": "hef",
    ".rknn": "rknn",
    ".rpk": "rpk",
}


class Catalogue:
    """Models by id, found in ``folders`` (the first that has the file wins).

    Args:
        folders: the first holds ``manifest.toml``, labels and anchors; others may hold models
            and manifests of their own.
        timing: take models that are no detectors too; what they see is not decoded.
    """

    def __init__(self, folders: tuple[Path, ...], *, timing: bool = False) -> None:
        self._folders = folders
        self._timing = timing
        self._loaded: dict[str, Model] = {}
        self.manifest = _read_manifest(folders[0] / "manifest.toml")
        more = (_read_manifest(f / "manifest.toml") for f in folders[1:] if _has_manifest(f))
        entries = {e.id: e for one in (*more, self.manifest) for e in one.model}
        self._entries = {e.id: e for e in self.manifest.model} | entries

    def entries(self) -> tuple[ModelEntry, ...]:
        """Return all entries in the manifests' order."""
        return tuple(self._entries.values())

    def find_file(self, entry: ModelEntry) -> Path | None:
        """Return where the entry's file lies, or None."""
        places = (folder / entry.file for folder in self._folders)
        return next((place for place in places if place.is_file()), None)

    def load(self, name: str, target: Target | None = None) -> Model:
        """Return the model called ``name``, in a form that ``target`` takes.

        Args:
            name: an id of the catalogue, a path, or ``auto`` for the default. An id also stands
                for the other entries of its family, ``auto`` for all of the default's task.
            target: the accelerator that shall run it; None for the file as named.

        Raises:
            ModelError: unknown, missing, damaged, not for this accelerator, or no detector that
                we can decode.
            LabelsError: its labels do not fit.
        """
        if name == AUTO or name in self._entries:
            return self._load_entry(self._entry_for(name, target))
        if os.sep in name or Path(name).suffix in _SUFFIXES:
            return self._load_path(Path(name), target)
        raise ModelError(
            f"model {name!r}: not in the catalogue and not a path",
            hint=f"known: {', '.join(self._entries)}; or a path ending in .tflite or .onnx",
        )

    def reference(self, model: Model, target: Target) -> Model | None:
        """Return a model of the same weights that ``target`` takes, if one is here."""
        entry = self._entries.get(model.id)
        if entry is None or not entry.family:
            return None
        found = next(
            (e for e in self._relatives(entry) if runs_on(e, target) and self.find_file(e)), None
        )
        return self._load_entry(found) if found else None

    def _relatives(self, entry: ModelEntry) -> list[ModelEntry]:
        return [e for e in self.entries() if entry.family and e.family == entry.family]

    def _entry_for(self, name: str, target: Target | None) -> ModelEntry:
        entry = self._entries[self.manifest.default if name == AUTO else name]
        if target is None or (runs_on(entry, target) and self.find_file(entry)):
            return entry
        related = self._relatives(entry)
        if name == AUTO:
            related += [e for e in self.entries() if entry.task and e.task == entry.task]
        fitting = [e for e in ([] if runs_on(entry, target) else related) if runs_on(e, target)]
        found = next((e for e in fitting if self.find_file(e)), None)
        if found is not None:
            return found
        if fitting:
            raise ModelError(
                f"model {fitting[0].id}: its file {fitting[0].file} is not here, and "
                f"{target.accelerator} needs it",
                hint=_how_to_get(fitting[0]),
            )
        if runs_on(entry, target):
            return entry
        what = f"{entry.format}" + (f" for {entry.accelerator}" if entry.accelerator else "")
        raise ModelError(
            f"model {entry.id}: is {what}; {target.accelerator} takes {_formats(target)}",
            hint="`appliance models` lists what there is",
        )

    def _load_entry(self, entry: ModelEntry) -> Model:
        """Read and check a file once; several accelerators may ask for it."""
        if entry.id not in self._loaded:
            self._loaded[entry.id] = self._read_entry(entry)
        return self._loaded[entry.id]

    def _read_entry(self, entry: ModelEntry) -> Model:
        path = self.find_file(entry)
        if path is None:
            raise ModelError(
                f"model {entry.id}: its file {entry.file} is not here", hint=_how_to_get(entry)
            )
        content = read_model_bytes(path)
        verify(content, entry, path)
        return self._build(content, entry.id, path, entry)

    def _load_path(self, path: Path, target: Target | None) -> Model:
        content = read_model_bytes(path)
        sha256 = hashlib.sha256(content).hexdigest()
        named = (e for e in self.entries() if not e.sha256 and e.file == path.name)
        known = next((e for e in self.entries() if e.sha256 == sha256), next(named, None))
        form = known.format if known else _SUFFIXES.get(path.suffix)
        if form is None:
            raise ModelError(
                f"model {path}: {path.suffix or 'no suffix'} is not a known kind of model",
                hint=f"known: {', '.join(_SUFFIXES)}",
            )
        if target is not None and form not in target.formats:
            raise ModelError(
                f"model {path}: is {form}; {target.accelerator} takes {_formats(target)}"
            )
        return self._build(content, known.id if known else path.stem, path, known)

    def _build(self, content: bytes, name: str, path: Path, entry: ModelEntry | None) -> Model:
        form = entry.format if entry else _SUFFIXES[path.suffix]
        graph = _interface(content, name, form, entry)
        output = entry.output if entry else None
        labels = entry.labels if entry else None
        try:
            head, classes, offset = build_head(
                graph,
                name,
                anchors=self._anchors(path, graph, output),
                scales=output.scales if output else (10.0, 10.0, 5.0, 5.0),
                label_offset=labels.offset if labels else None,
            )
        except ModelError:
            if not self._timing:
                raise
            head, classes, offset = blind_head(graph, name), None, 0
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
        )
        if isinstance(head, RawSsdHead) and len(names.names) != (classes or 0) + offset:
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
            input_scale=spec.scale if spec else 2 / 255,
            input_offset=spec.offset if spec else -1.0,
            head=head,
            labels=names,
            path=path,
            weights=weights,
            custom_operators=graph.custom_operators,
        )

    def _weights(self, path: Path, name: str, entry: ModelEntry | None, form: str) -> Path | None:
        """Return the checked second file of formats that have one."""
        if form != "ncnn":
            return None
        weights = path.with_name(entry.weights) if entry else path.with_suffix(".bin")
        if entry is not None:
            spec = msgspec.structs.replace(
                entry, file=weights.name, bytes=0, sha256=entry.weights_sha256
            )
            verify(read_model_bytes(weights), spec, weights)
        elif not weights.is_file():
            raise ModelError(f"model {name}: its weights {weights} are not here")
        return weights

    def _labels(
        self, path: Path, entry: ModelEntry | None, classes: int | None, offset: int
    ) -> Labels:
        beside = path.with_suffix(".labels.txt")
        if entry is None and beside.is_file():
            return read_labels(beside, classes=classes, offset=offset)
        file = entry.labels.file if entry else COCO_LABELS
        return read_labels(self._beside(path, file), classes=classes, offset=offset)

    def _anchors(self, path: Path, graph: GraphInfo, output: OutputSpec | None) -> Path:
        """Return the file of anchors: the entry's, that of the input's size, or the usual one."""
        if output and output.anchors:
            return self._beside(path, output.anchors)
        side = max(graph.inputs[0].shape[1:3], default=0)
        sized = self._beside(path, f"ssd_anchors_{side}.npy")
        return sized if sized.is_file() else self._folders[0] / ANCHORS

    def _beside(self, path: Path, file: str) -> Path:
        """Return where a model's anchors or labels lie: beside it, or with the manifest."""
        beside = path.with_name(file)
        return beside if beside.is_file() else self._folders[0] / file


def runs_on(entry: ModelEntry, target: Target) -> bool:
    """Say whether the entry's file runs on ``target``."""
    if entry.accelerator or target.compiled:
        return entry.format in target.formats and entry.accelerator == target.accelerator
    return entry.format in target.formats


def _sha256(content: bytes, weights: Path | None) -> str:
    """Return the hash of a model's files together."""
    whole = hashlib.sha256(content)
    if weights is not None:
        whole.update(weights.read_bytes())
    return whole.hexdigest()


def _has_manifest(folder: Path) -> bool:
    return (folder / "manifest.toml").is_file()


def _read_manifest(path: Path) -> Manifest:
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Manifest)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ModelError(
            f"model catalogue {path}: {error}", hint="reinstall the appliance, or mend the file"
        ) from error


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
        return GraphInfo(graph.inputs, outputs)
    picture = (1, entry.input.height, entry.input.width, 3)
    return GraphInfo((TensorInfo("picture", picture, entry.input.dtype),), outputs)


def _described(entry: ModelEntry, name: str) -> tuple[TensorInfo, ...]:
    """Return the outputs as the manifest describes them."""
    output = entry.output
    if output is None or output.convention == "postprocessed":
        shapes: tuple[tuple[int, ...], ...] = ((1, 1, 4), (1, 1), (1, 1), (1,))
        names = output.tensors if output and output.tensors else POSTPROCESSED_TENSORS
    else:
        names, shapes = output.tensors, ((1, output.boxes, 4), (1, output.boxes, output.classes))
    if len(names) != len(shapes):
        raise ModelError(f"model {name}: the manifest must name {len(shapes)} output tensors")
    pairs = zip(names, shapes, strict=True)
    return tuple(TensorInfo(one, shape, "float32") for one, shape in pairs)


def _picture(tensor: TensorInfo) -> tuple[Literal["nhwc", "nchw"], int, int]:
    """Return memory layout, height and width of a picture input (checked by build_head)."""
    if tensor.shape[3] == 3:
        return "nhwc", tensor.shape[1], tensor.shape[2]
    return "nchw", tensor.shape[2], tensor.shape[3]


def _how_to_get(entry: ModelEntry) -> str:
    return {
        "bundled": "reinstall the appliance",
        "built": f"make models, then appliance models fetch {entry.id} --from models/out",
        "fetched": f"appliance models fetch {entry.id}",
        "system": f"apt install {entry.package}",
    }[entry.kind]


def _formats(target: Target) -> str:
    names = " or ".join(sorted(target.formats))
    return f"{names} made for it" if target.compiled else names


def find_models_folder(environment: dict[str, str] | None = None) -> tuple[Path, ...]:
    """Return where models are looked for, first the folder with the manifest.

    ``APPLIANCE_MODELS`` names an extra folder; then the package's own, then
    ``/var/lib/appliance/models`` and the user's cache, where fetched ones go.
    """
    package = Path(__file__).resolve().parent.parent
    bundled = package / "bundled" / "models"
    main = bundled if bundled.is_dir() else package.parent / "models"
    extra = (environment if environment is not None else os.environ).get(MODELS_VARIABLE)
    folders = [main, Path("/var/lib/appliance/models"), user_models_folder()]
    if extra:
        folders.insert(1, Path(extra))
    return tuple(folders)


def user_models_folder() -> Path:
    """Return where a user without write access to /var keeps fetched models."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "appliance" / "models"


def verify(content: bytes, entry: ModelEntry, path: Path) -> None:
    """Raise ModelError unless ``content`` is the entry's file.

    An entry without a pinned sha256 is checked against the one recorded when it was fetched.
    """
    restore = "restore it (git checkout, reinstall, or fetch again)"
    if entry.bytes and len(content) != entry.bytes:
        raise ModelError(
            f"model {path}: {len(content)} bytes, expected {entry.bytes}: truncated or another "
            "file",
            hint=restore,
        )
    recorded = record_path(path)
    expected = entry.sha256 or (recorded.read_text().strip() if recorded.is_file() else "")
    sha256 = hashlib.sha256(content).hexdigest()
    if expected and sha256 != expected:
        raise ModelError(
            f"model {path}: sha256 is {sha256}, expected {expected}: damaged or another file",
            hint=restore,
        )


def record_path(path: Path) -> Path:
    """Return where the sha256 of an unpinned model is recorded when it is fetched."""
    return path.with_name(path.name + ".sha256")
