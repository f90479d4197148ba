"""The catalogue of models (``models/manifest.toml``) and how a name becomes a checked model."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import ModelError
from appliance.models.heads import build_head
from appliance.models.model import Labels, Model, read_labels, read_model_bytes
from appliance.models.tflite import inspect

COCO_LABELS = "coco_labels.txt"
MODELS_VARIABLE = "APPLIANCE_MODELS"


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The picture a model wants: RGB, rows first; floats are pixel * scale + offset."""

    width: int
    height: int
    dtype: Literal["uint8", "float32"]
    scale: float = 1.0
    offset: float = 0.0


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the outputs are read: ``raw-ssd`` with anchors and scales, or ``postprocessed``."""

    convention: Literal["raw-ssd", "postprocessed"]
    anchors: str = ""
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


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalogue."""

    id: str
    title: str
    file: str
    bytes: int
    sha256: str
    kind: Literal["bundled", "built", "fetched"]
    format: Literal["tflite", "onnx", "ncnn"] = "tflite"
    license: str = ""
    input: InputSpec | None = None
    output: OutputSpec | None = None
    labels: LabelsSpec = LabelsSpec()
    source: SourceSpec = SourceSpec()
    accuracy: tuple[AccuracySpec, ...] = ()
    accelerator: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``manifest.toml``."""

    default: str
    model: tuple[ModelEntry, ...]


class Catalogue:
    """Models by id, found in ``folders`` (the first that has the file wins).

    Args:
        folders: the first holds ``manifest.toml``, labels and anchors; built and fetched
            models may lie in any.
    """

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        path = folders[0] / "manifest.toml"
        try:
            tree = tomllib.loads(path.read_text("utf-8"))
            self.manifest = msgspec.convert(tree, Manifest)
        except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ModelError(
                f"model catalogue {path}: {error}", hint="reinstall the appliance"
            ) from error

    def entries(self) -> tuple[ModelEntry, ...]:
        """Return all entries in the manifest's order."""
        return self.manifest.model

    def find_file(self, entry: ModelEntry) -> Path | None:
        """Return where the entry's file lies, or None."""
        places = (folder / entry.file for folder in self._folders)
        return next((place for place in places if place.is_file()), None)

    def load(self, name: str) -> Model:
        """Return the model called ``name``: an id of the catalogue or a path.

        Raises:
            ModelError: unknown, missing, damaged, or not a detector we can decode.
            LabelsError: its labels do not fit.
        """
        by_id = {entry.id: entry for entry in self.entries()}
        if name in by_id:
            return self._load_entry(by_id[name])
        if os.sep in name or name.endswith(".tflite"):
            return self._load_path(Path(name))
        raise ModelError(
            f"model {name!r}: not in the catalogue and not a path",
            hint=f"known: {', '.join(by_id)}; or a path ending in .tflite",
        )

    def _load_entry(self, entry: ModelEntry) -> Model:
        path = self.find_file(entry)
        if path is None:
            how = {
                "bundled": "reinstall the appliance",
                "built": "build it: see models/README.md",
                "fetched": f"appliance models fetch {entry.id}",
            }[entry.kind]
            raise ModelError(f"model {entry.id}: its file {entry.file} is not here", hint=how)
        content = read_model_bytes(path)
        verify(content, entry, path)
        sha256 = hashlib.sha256(content).hexdigest()
        return self._build(content, sha256, entry.id, path, entry)

    def _load_path(self, path: Path) -> Model:
        content = read_model_bytes(path)
        sha256 = hashlib.sha256(content).hexdigest()
        named = (e for e in self.entries() if not e.sha256 and e.file == path.name)
        known = next((e for e in self.entries() if e.sha256 == sha256), next(named, None))
        return self._build(content, sha256, known.id if known else path.stem, path, known)

    def _build(
        self, content: bytes, sha256: str, name: str, path: Path, entry: ModelEntry | None
    ) -> Model:
        graph = inspect(content, name)
        output = entry.output if entry else None
        labels = entry.labels if entry else None
        head, classes, offset = build_head(
            graph,
            name,
            anchors=self._folders[0] / (output.anchors if output and output.anchors else ANCHORS),
            scales=output.scales if output else (10.0, 10.0, 5.0, 5.0),
            label_offset=labels.offset if labels else None,
        )
        picture = graph.inputs[0]
        spec = entry.input if entry else None
        if spec and (spec.height, spec.width, spec.dtype) != (*picture.shape[1:3], picture.dtype):
            raise ModelError(
                f"model {name}: input is {picture.dtype} {picture.shape}, the manifest says "
                f"{spec.dtype} {(1, spec.height, spec.width, 3)}"
            )
        return Model(
            id=name,
            content=content,
            sha256=sha256,
            format="tflite",
            input_width=picture.shape[2],
            input_height=picture.shape[1],
            input_kind="uint8" if picture.dtype == "uint8" else "float32",
            input_scale=spec.scale if spec else 2 / 255,
            input_offset=spec.offset if spec else -1.0,
            head=head,
            labels=self._labels(path, entry, classes, offset),
            path=path,
        )

    def _labels(
        self, path: Path, entry: ModelEntry | None, classes: int | None, offset: int
    ) -> Labels:
        beside = path.with_suffix(".labels.txt")
        if entry is None and beside.is_file():
            return read_labels(beside, classes=classes, offset=offset)
        file = entry.labels.file if entry else COCO_LABELS
        return read_labels(self._folders[0] / file, classes=classes, offset=offset)


ANCHORS = "ssd_anchors.npy"


def find_models_folder(environment: dict[str, str] | None = None) -> tuple[Path, ...]:
    """Return where models are looked for, first the folder with the manifest.

    ``APPLIANCE_MODELS`` names an extra folder; then the package's own, then
    ``/var/lib/appliance/models`` and the user's cache, where fetched ones go.
    """
    package = Path(__file__).resolve().parent.parent
    bundled = package / "bundled" / "models"
    main = bundled if bundled.is_dir() else package.parent / "models"
    extra = (environment if environment is not None else os.environ).get(MODELS_VARIABLE)
    folders = [main, main / "out", Path("/var/lib/appliance/models"), user_models_folder()]
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
