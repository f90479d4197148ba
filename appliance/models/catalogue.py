"""The catalogue of models (``models/manifest.toml``) and how a name becomes a checked model."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.errors import ModelError
from appliance.models.files import how_to_get, verify
from appliance.models.manifest import Manifest, ModelEntry
from appliance.models.model import read_model_bytes
from appliance.models.reader import ModelReader

if TYPE_CHECKING:
    from appliance.board.target import Target
    from appliance.models.manifest import Format
    from appliance.models.model import Model

AUTO = "auto"
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
        self._reader = ModelReader(folders[0], timing=timing)
        self._loaded: dict[str, Model] = {}
        self.manifest = read_manifest(folders[0] / "manifest.toml")
        more = (read_manifest(f / "manifest.toml") for f in folders[1:] if _has_manifest(f))
        entries = {e.id: e for one in (*more, self.manifest) for e in one.model}
        self._entries = {e.id: e for e in self.manifest.model} | entries

    def entries(self) -> tuple[ModelEntry, ...]:
        """Return all entries in the manifests' order."""
        return tuple(self._entries.values())

    def knows(self, name: str) -> bool:
        """Say whether ``load`` takes the name, whatever it then finds."""
        return name == AUTO or name in self._entries or _is_path(name)

    def find_file(self, entry: ModelEntry) -> Path | None:
        """Return where the entry's file lies, or None."""
        places = (folder / entry.file for folder in self._folders)
        return next((place for place in places if place.is_file()), None)

    def verify(self, entry: ModelEntry, path: Path) -> None:
        """Raise ModelError unless the entry's file at ``path`` and what goes with it are whole."""
        verify(read_model_bytes(path), entry, path)
        self._reader.verify_parts(path, entry)

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
        if _is_path(name):
            return self._load_path(Path(name), target)
        raise ModelError(
            f"model {name!r}: not in the catalogue and not a path",
            hint=f"known: {', '.join(self._entries)}; or a path ending in .tflite or .onnx",
        )

    def read_own(self, path: Path, labels: Path | None = None) -> Model:
        """Return the model of a file by itself, whatever any manifest says of it.

        Args:
            path: a .tflite or .onnx file.
            labels: its labels, instead of those in it or beside it.

        Raises:
            ModelError: another kind of file, damaged, or no detector that we can decode.
            LabelsError: its labels do not fit.
        """
        form = _SUFFIXES.get(path.suffix)
        if form is None or form not in {"tflite", "onnx"}:
            raise ModelError(
                f"model {path}: is no .tflite or .onnx file",
                hint="other kinds are described in a manifest.toml beside them",
            )
        content = read_model_bytes(path)
        return self._reader.read(content, path.stem, path, form, None, labels_file=labels)

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
                hint=how_to_get(fitting[0]),
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
                f"model {entry.id}: its file {entry.file} is not here", hint=how_to_get(entry)
            )
        content = read_model_bytes(path)
        verify(content, entry, path)
        return self._reader.read(content, entry.id, path, entry.format, entry)

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
        if known is not None:
            verify(content, known, path)
        return self._reader.read(content, known.id if known else path.stem, path, form, known)


def _is_path(name: str) -> bool:
    return os.sep in name or Path(name).suffix in _SUFFIXES


def runs_on(entry: ModelEntry, target: Target) -> bool:
    if target.per_tensor and not entry.per_tensor:
        return False
    if entry.accelerator or target.compiled:
        return entry.format in target.formats and entry.accelerator == target.accelerator
    return entry.format in target.formats


def _has_manifest(folder: Path) -> bool:
    return (folder / "manifest.toml").is_file()


def read_manifest(path: Path) -> Manifest:
    """Return what a manifest says.

    Raises:
        ModelError: it is damaged.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Manifest)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ModelError(
            f"model catalogue {path}: {error}", hint="reinstall the appliance, or mend the file"
        ) from error


def _formats(target: Target) -> str:
    names = " or ".join(sorted(target.formats))
    if target.per_tensor:
        return f"{names} whose weights have one scale for each tensor"
    return f"{names} made for it" if target.compiled else names
