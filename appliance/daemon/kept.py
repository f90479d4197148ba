"""Files of what one start keeps for the next: read whole, or set aside and said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

Kept = TypeVar("Kept", bound=msgspec.Struct)


def read_kept(path: Path | None, kind: type[Kept], lost: str) -> Kept:
    """Return what is kept in a file; nothing where there is none, or it cannot be read.

    Args:
        path: of the file; None where nothing is kept.
        kind: of what is in it; made without arguments it is nothing.
        lost: what it means that it cannot be read, for the log.
    """
    if path is None:
        return kind()
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return kind()
    except OSError as error:
        log.warning("%s: %s: %s", lost, path, error.strerror)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        aside = path.with_suffix(".damaged")
        log.warning("%s: %s: %s; set aside as %s", lost, path, error, aside)
        try:
            path.replace(aside)
        except OSError as failure:
            log.warning("%s: %s", path, failure.strerror)
    return kind()
