"""Keep a model of the owner's: its files in a models folder, and an entry in the manifest there."""

from __future__ import annotations

import hashlib
import io
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from appliance.errors import UnavailableError, UsageError
from appliance.files import write_whole
from appliance.models.catalogue import AUTO, read_manifest
from appliance.models.manifest import (
    Convention,
    InputSpec,
    LabelsSpec,
    Manifest,
    ModelEntry,
    OutputSpec,
)
from appliance.vision.heads import RawSsdHead

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.models.catalogue import Catalogue
    from appliance.models.model import Model

MANIFEST = "manifest.toml"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER = "# Models of the owner's, kept by `appliance models add`.\n"


def check_id(catalogue: Catalogue, name: str) -> None:
    """Raise UsageError unless ``name`` may be the id of an own model."""
    entry = next((one for one in catalogue.entries() if one.id == name), None)
    if entry is not None and entry.kind != "own":
        raise UsageError(
            f"models add: {name} is a model of the catalogue", hint="give another one: --name ID"
        )
    if name == AUTO or not _ID.fullmatch(name) or (entry is None and catalogue.knows(name)):
        raise UsageError(
            f"models add: {name!r} cannot be a model's id",
            hint="letters, digits, '-', '_' and '.', no suffix of a model: --name ID",
        )


def keep(model: Model, name: str, folder: Path, catalogue: Catalogue) -> ModelEntry:
    """Write the model and what goes with it into ``folder``; return its entry of the manifest.

    Args:
        model: as read and checked.
        name: id to keep it under; one of the owner's own is replaced.
        folder: made if it is missing.
        catalogue: where no other file may be found in place of this one.

    Raises:
        UsageError: another model's file has the name that this one would get.
        ModelError: the manifest in the folder is damaged.
        UnavailableError: the folder cannot be written.
    """
    entry = _entry(model, name)
    path = folder / entry.file
    found = catalogue.find_file(entry)
    ours = any(one.file == entry.file and one.kind != "own" for one in catalogue.entries())
    if ours or (found is not None and found.resolve() != path.resolve()):
        raise UsageError(
            f"models add: there is a file {entry.file} already ({found or 'of the catalogue'})",
            hint="give another id: --name ID",
        )
    manifest = _manifest_with(entry, folder / MANIFEST)
    try:
        write_whole(path, model.content)
        if entry.labels.file:
            lines = "".join(f"{one or '???'}\n" for one in model.labels.names)
            write_whole(folder / entry.labels.file, lines)
        if isinstance(model.head, RawSsdHead) and entry.output is not None:
            anchors = io.BytesIO()
            np.save(anchors, model.head.anchors)
            write_whole(folder / entry.output.anchors, anchors.getvalue())
        write_whole(folder / MANIFEST, manifest)
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be written: {error.strerror}") from error
    return entry


def _entry(model: Model, name: str) -> ModelEntry:
    raw = isinstance(model.head, RawSsdHead)
    head = model.head
    return ModelEntry(
        id=name,
        title=f"{model.path.name}, your own",
        file=f"{name}.{model.format}",
        bytes=len(model.content),
        sha256=hashlib.sha256(model.content).hexdigest(),
        kind="own",
        format="onnx" if model.format == "onnx" else "tflite",
        input=InputSpec(
            width=model.input_width,
            height=model.input_height,
            dtype=model.input_kind,
            scale=model.input_scale,
            offset=model.input_offset,
            order=model.input_order,
        ),
        output=OutputSpec(
            convention=msgspec.convert(model.convention, Convention),
            anchors=f"{name}.anchors.npy" if raw else "",
            tensors=head.tensor_names,
            scales=head.scales if isinstance(head, RawSsdHead) else (10.0, 10.0, 5.0, 5.0),
        ),
        labels=LabelsSpec(
            file=f"{name}.labels.txt" if model.labels.names else "", offset=0 if raw else 1
        ),
        accelerator="edgetpu" if "edgetpu-custom-op" in model.custom_operators else "",
    )


def _manifest_with(entry: ModelEntry, path: Path) -> str:
    """Return the manifest's text with the entry; what others wrote into it stays as it is."""
    if not path.is_file():
        return f"{_HEADER}\ndefault = {_toml(entry.id)}\n{_table(entry)}"
    manifest: Manifest = read_manifest(path)
    if not any(one.id == entry.id for one in manifest.model):
        return f"{path.read_text('utf-8').rstrip()}\n{_table(entry)}"
    entries = [entry if one.id == entry.id else one for one in manifest.model]
    tables = "".join(map(_table, entries))
    return f"{_HEADER}\ndefault = {_toml(manifest.default)}\n{tables}"


def _table(entry: ModelEntry) -> str:
    told = msgspec.to_builtins(entry)
    plain = msgspec.to_builtins(ModelEntry(id="", title="", file="", kind="fetched"))
    needed = ("id", "title", "file", "kind")
    rows = [
        f"{key} = {_toml(value)}\n"
        for key, value in told.items()
        if key in needed or value != plain[key]
    ]
    return "\n[[model]]\n" + "".join(rows)


def _toml(value: Any) -> str:
    """Return a value as TOML writes it: JSON, but for tables in a line and DEL in a text."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
