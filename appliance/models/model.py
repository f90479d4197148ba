"""A model that is ready to be given to a runtime, and the names of what it sees."""

from __future__ import annotations

import difflib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from appliance.errors import LabelsError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.vision.heads import Head

InputKind = Literal["uint8", "int8", "float32"]
ChannelOrder = Literal["rgb", "bgr"]
PerChannel = float | tuple[float, float, float]
"""One number for all colours, or one for each, in the model's order."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Names by label id; ids without a name are called ``class_<id>``.

    Attributes:
        names: name of each label id; empty text for ids that mean nothing.
    """

    names: tuple[str, ...]

    def name(self, label_id: int) -> str:
        """Return the name of ``label_id``; never fails, whatever the id."""
        if 0 <= label_id < len(self.names) and self.names[label_id]:
            return self.names[label_id]
        return f"class_{label_id}"

    def columns(self) -> tuple[int, ...]:
        """Return the label id of each class column: the background, then the ids with a name."""
        return (0, *(number for number, name in enumerate(self.names) if name))

    def ids(self, names: tuple[str, ...], key: str = "") -> frozenset[int]:
        """Return the ids of ``names``.

        Args:
            names: labels.
            key: of the setting that has them, for the words of a fault.

        Raises:
            LabelsError: a name is not among the labels.
        """
        known = {name: number for number, name in enumerate(self.names) if name}
        unknown = [name for name in names if name not in known]
        if unknown:
            where = f"{key}: " if key else ""
            close = difflib.get_close_matches(unknown[0], known, 1)
            raise LabelsError(
                f"{where}the model does not know the label {unknown[0]!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"it knows: {', '.join(known)}",
            )
        return frozenset(known[name] for name in names)


class Vocabulary:
    """Names by label id for everything a unit may report.

    The model's labels, and those of cameras that detect by themselves, which get ids from
    ``FIRST_FOREIGN_ID`` where the model lacks the name. Thread-safe: a name's id never changes.

    Args:
        labels: of the model.
    """

    FIRST_FOREIGN_ID = 1000

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._ids = {name: number for number, name in enumerate(labels.names) if name}
        self._foreign: list[str] = []
        self._lock = threading.Lock()

    @property
    def labels(self) -> Labels:
        """Return those of the model."""
        return self._labels

    def name(self, label_id: int) -> str:
        place = label_id - self.FIRST_FOREIGN_ID
        if 0 <= place < len(self._foreign):
            return self._foreign[place]
        return self._labels.name(label_id)

    def id_of(self, name: str) -> int:
        """Return the id of ``name``, a new one if nobody used it before."""
        with self._lock:
            if name not in self._ids:
                self._ids[name] = self.FIRST_FOREIGN_ID + len(self._foreign)
                self._foreign.append(name)
            return self._ids[name]


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model file with all that is needed to run it.

    Attributes:
        id: catalogue id, or the file's name.
        content: the file's bytes, so that what was checked is what is loaded.
        sha256: of ``content``, hexadecimal.
        format: kind of file: ``tflite``, ``onnx``, ``ncnn``, ...
        input_width, input_height: pixels.
        input_kind: ``uint8`` takes raw pixels; ``int8`` pixels less 128; ``float32`` pixel *
            scale + offset.
        input_layout: ``nhwc`` or ``nchw`` in memory.
        input_scale, input_offset: for ``float32``; of all colours, or of each in their order.
        head: decodes the outputs.
        labels: names by label id.
        path: where it was read from.
        weights: the second file of formats that have one.
        custom_operators: names that only some runtime knows.
        input_order: of the colours, ``rgb`` or ``bgr``.
        convention: how the outputs are read, as a manifest calls it; empty where they are not.
    """

    id: str
    content: bytes
    sha256: str
    format: str
    input_width: int
    input_height: int
    input_kind: InputKind
    input_layout: Literal["nhwc", "nchw"]
    input_scale: PerChannel
    input_offset: PerChannel
    head: Head
    labels: Labels
    path: Path
    weights: Path | None = None
    custom_operators: tuple[str, ...] = ()
    input_order: ChannelOrder = "rgb"
    convention: str = ""


def read_labels(path: Path, *, classes: int | None = None, offset: int = 0) -> Labels:
    """Read one name a line; line number (from 0) plus nothing is the label id.

    Args:
        path: UTF-8 text; ``???``, ``n/a`` and empty lines are ids that mean nothing.
        classes: how many class columns the model has, where that is known.
        offset: label id of class column 0.

    A model that knows only some classes of its task has a file with names for those ids alone.

    Raises:
        LabelsError: the file is unreadable or its length does not fit the model.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"labels {path}: cannot be read: {error}") from error
    names = tuple("" if line.strip() in ("", "???", "n/a") else line.strip() for line in lines)
    if not any(names):
        raise LabelsError(f"labels {path}: holds no names", hint="one name a line is expected")
    named = sum(1 for name in names if name)
    if classes is not None and classes not in (len(names) - offset, named + 1):
        raise LabelsError(
            f"labels {path}: {len(names)} lines, but the model needs {classes + offset}",
            hint="give the label file that came with the model",
        )
    return Labels(names)


def read_model_bytes(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        ModelError: missing or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"model {path}: no such file", hint="`appliance models` lists the known ones"
        ) from error
    except OSError as error:
        raise ModelError(f"model {path}: cannot be read: {error.strerror}") from error
