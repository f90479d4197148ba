"""Fetch a known model from its address, or from a copy at hand, and check it before keeping it."""

from __future__ import annotations

import hashlib
import io
import urllib.request
import zipfile
from typing import TYPE_CHECKING, Any

from appliance.errors import ModelError, UnavailableError
from appliance.files import write_whole
from appliance.models.files import how_to_get, record_path, verify, verify_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.models.manifest import ModelEntry

TIMEOUT_SECONDS = 30
_CHUNK = 1 << 16


def fetch(
    entry: ModelEntry,
    folder: Path,
    *,
    copy_from: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Bring the entry's file into ``folder``; return its path.

    Args:
        entry: of the catalogue.
        folder: made if it is missing.
        copy_from: a folder or file to take it from, instead of the network.
        progress: told bytes done and in all (0 where unknown).

    Raises:
        UnavailableError: no network, no such copy, or the folder cannot be written.
        ModelError: what came is not the model.
    """
    path, weights = folder / entry.file, folder / entry.weights
    if copy_from is None:
        content, more = _download(entry, progress), b""
        verify(content, entry, path)
    else:
        content, more = _copy(entry, copy_from, path, weights)
    _keep(content, path, record=not entry.sha256)
    if entry.weights:
        _keep(more, weights, record=not entry.weights_sha256)
    return path


def _keep(content: bytes, path: Path, *, record: bool) -> None:
    """Write a file whole or not at all; record the hash of one that the manifest does not pin."""
    try:
        write_whole(path, content)
        if record:
            write_whole(record_path(path), hashlib.sha256(content).hexdigest() + "\n")
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error


def _copy(entry: ModelEntry, place: Path, path: Path, weights: Path) -> tuple[bytes, bytes]:
    """Return the entry's file and its weights from a copy, checked.

    What is built is checked against the record at the copy, for it may have been built again;
    anything else against what was recorded at its first fetch.
    """
    main = place / entry.file if place.is_dir() else place
    beside = main.with_name(entry.weights) if entry.weights else main
    content, more = _read_copy(main, entry), b""
    verify(content, entry, main if entry.kind == "built" else path)
    if entry.weights:
        more = _read_copy(beside, entry)
        place = beside if entry.kind == "built" else weights
        verify_part(more, entry, place, entry.weights_sha256)
    return content, more


def _read_copy(path: Path, entry: ModelEntry) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"model {entry.id}: no copy at {path}", hint=f"expected a file {path.name}"
        ) from error


def _download(entry: ModelEntry, progress: Callable[[int, int], None]) -> bytes:
    if entry.kind == "built":
        raise UnavailableError(
            f"model {entry.id}: is built, not fetched from the network", hint=how_to_get(entry)
        )
    url = entry.source.url
    if (
        entry.weights
        or not url.startswith("https://")
        or not url.endswith((".tflite", ".zip", ".hef"))
    ):
        raise UnavailableError(
            f"model {entry.id}: has no address to fetch from",
            hint=f"take it from a copy: appliance models fetch {entry.id} --from DIR",
        )
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - https
            content = _read(answer, progress)
    except OSError as error:
        raise UnavailableError(
            f"model {entry.id}: {url} cannot be reached: {error}",
            hint="check the network, or take a copy: --from DIR",
        ) from error
    return _member(content, entry) if entry.source.member else content


def _read(answer: Any, progress: Callable[[int, int], None]) -> bytes:
    total = int(answer.headers.get("Content-Length") or 0)
    buffer = io.BytesIO()
    while chunk := answer.read(_CHUNK):
        buffer.write(chunk)
        progress(buffer.tell(), total)
    return buffer.getvalue()


def _member(content: bytes, entry: ModelEntry) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(entry.source.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"model {entry.id}: the download is not the expected archive") from error
