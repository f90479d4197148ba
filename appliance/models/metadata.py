"""What an exporter wrote into a model's file about it: its task, the names of its classes, ...

ONNX has a place for such words. TensorFlow Lite's are a zip archive behind the model; ultralytics
put a JSON text there, or in older versions one as Python writes it.
"""

from __future__ import annotations

import ast
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from appliance.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILES = ("metadata.json", "TFLITE_ULTRALYTICS_METADATA.json", "temp_meta.txt")
_LARGEST_FILE_BYTES = 1 << 20


def exporter_metadata(content: bytes, name: str) -> dict[str, str]:
    """Return the words in the archive behind a TensorFlow Lite file; none where it has none.

    Raises:
        LabelsError: the archive is damaged.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return {}
    try:
        with zipfile.ZipFile(file) as archive:
            found = [one for one in archive.infolist() if one.filename in _FILES]
            if not found or found[0].file_size > _LARGEST_FILE_BYTES:
                return {}
            told = _parsed(archive.read(found[0]).decode("utf-8-sig"))
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, RuntimeError) as error:
        raise LabelsError(
            f"model {name}: its metadata cannot be read: {error}",
            hint="copy or download it again",
        ) from error
    return {str(k): v if isinstance(v, str) else repr(v) for k, v in told.items()}


def class_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names of classes by number, as ultralytics write them; None where there are none.

    Numbers that are left out have an empty name.
    """
    told = _parsed(metadata.get("names", ""))
    numbered = {int(k): str(v).strip() for k, v in told.items() if str(k).isdecimal()}
    if not numbered or max(numbered) > 2 * len(numbered) + 100:
        return None
    return tuple(numbered.get(number, "") for number in range(max(numbered) + 1))


def _parsed(text: str) -> dict[Any, Any]:
    """Return what a text says that JSON or Python writes, a list by its numbers; else nothing."""
    told: Any = None
    for parse in (json.loads, ast.literal_eval):
        try:
            told = parse(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    if isinstance(told, (list, tuple)):
        return dict(enumerate(told))
    return told if isinstance(told, dict) else {}
