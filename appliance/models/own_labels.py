"""The labels of a model that no catalogue knows: in its file, or beside it; nobody guesses.

Whoever trains a model numbers its classes from 0, or leaves 0 to the background, and label files
follow either. The model knows how many classes it has, so the number of lines says which.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING

from appliance.errors import LabelsError
from appliance.models.model import Labels

if TYPE_CHECKING:
    from pathlib import Path

BESIDE = ("{stem}.labels.txt", "labelmap.txt")
"""Files beside a model that hold its labels, the surer one first."""
_NOTHING = frozenset({"", "???", "n/a"})
_BACKGROUNDS = _NOTHING | {"background", "__background__", "_background_", "unlabeled", "bg"}
_NUMBERED = re.compile(r"(\d{1,5})[\s:,]+(\S.*)")
_LARGEST_FILE_BYTES = 1 << 20
_PREFERRED = "labelmap.txt"


def own_labels(content: bytes, path: Path, classes: int | None, *, sparse: bool) -> Labels | None:
    """Return a model's labels by class number and 1, which leaves 0 to the background.

    Args:
        content: the model's file, which may hold its labels.
        path: where it lies, its label file beside it.
        classes: how many it has without the background; None where nothing tells.
        sparse: take a file that names only the ids the model knows.

    Returns:
        None where there are no labels.

    Raises:
        LabelsError: they cannot be read, or do not fit.
    """
    inside = embedded_labels(content, path)
    if inside is not None:
        return fit_labels(inside, classes, f"labels inside {path}", sparse=False)
    places = (path.with_name(name.format(stem=path.stem)) for name in BESIDE)
    beside = next((place for place in places if place.is_file()), None)
    return read_own_labels(beside, classes, sparse=sparse) if beside else None


def read_own_labels(path: Path, classes: int | None, *, sparse: bool = False) -> Labels:
    """Return the labels of a file, as ``own_labels`` does.

    Raises:
        LabelsError: it cannot be read, or does not fit.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"labels {path}: cannot be read: {error}") from error
    return fit_labels(text, classes, f"labels {path}", sparse=sparse)


def embedded_labels(content: bytes, path: Path) -> str | None:
    """Return the text of the label file that is packed into a model's file, if one is.

    TensorFlow Lite's metadata are a zip archive behind the model.

    Raises:
        LabelsError: the archive is damaged.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            found = [
                one
                for one in archive.infolist()
                if "label" in one.filename.lower() and one.filename.lower().endswith(".txt")
            ]
            best = [one for one in found if one.filename.endswith(_PREFERRED)]
            chosen = best if len(best) == 1 else found
            if len(chosen) != 1:
                return None
            if chosen[0].file_size > _LARGEST_FILE_BYTES:
                raise LabelsError(
                    f"labels inside {path}: {chosen[0].file_size} bytes are no labels"
                )
            return archive.read(chosen[0]).decode("utf-8-sig")
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError) as error:
        raise LabelsError(
            f"labels inside {path}: cannot be read: {error}", hint="copy or download it again"
        ) from error
    except RuntimeError as error:  # encrypted
        raise LabelsError(f"labels inside {path}: cannot be read: {error}") from error


def fit_labels(text: str, classes: int | None, where: str, *, sparse: bool = False) -> Labels:
    """Return the labels of a file's text, the background at 0.

    Raises:
        LabelsError: it holds none, or another number of them than the model has classes.
    """
    lines = [line.strip() for line in text.rstrip().splitlines()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines if line]
    if numbered and all(numbered):
        lines = _by_number([one for one in numbered if one], where)
    if not any(line.lower() not in _BACKGROUNDS for line in lines):
        raise LabelsError(f"{where}: holds no names", hint="one name a line is expected")
    with_background = lines[0].lower() in _BACKGROUNDS
    named = sum(line not in _NOTHING for line in lines)
    if classes is None:
        leave_out = with_background
    elif len(lines) == classes + 1:
        leave_out = True
    elif len(lines) == classes and not with_background:
        leave_out = False
    elif sparse and with_background and len(lines) > classes and named == classes:
        leave_out = True
    else:
        first = f", of which the first is the background ({lines[0]!r})" if with_background else ""
        raise LabelsError(
            f"{where}: {len(lines)} lines{first}, but the model has {classes} classes",
            hint=f"it needs {classes} lines, or {classes + 1} with one for the background first",
        )
    names = lines[1:] if leave_out else lines
    return Labels(("", *("" if name in _NOTHING else name for name in names)))


def fit_names(names: tuple[str, ...], classes: int | None, where: str) -> Labels:
    """Return the labels of names by class number, the background's place at 0 empty.

    Raises:
        LabelsError: they are not as many as the model has classes.
    """
    if classes is not None and len(names) != classes:
        raise LabelsError(
            f"{where}: {len(names)} names, but the model has {classes} classes",
            hint="its exporter wrote the names of another model; give a file: --labels FILE",
        )
    return Labels(("", *names))


def _by_number(matches: list[re.Match[str]], where: str) -> list[str]:
    """Return the lines of a file that numbers them itself: ``17  cat``; it may leave some out."""
    names = {int(one[1]): one[2].strip() for one in matches}
    if len(names) != len(matches):
        raise LabelsError(f"{where}: gives a number twice")
    return [names.get(number, "") for number in range(max(names) + 1)]
