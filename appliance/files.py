"""Files and folders where somebody else may write too: no link is followed, no half file left."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from typing import TYPE_CHECKING, BinaryIO

from appliance.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

OTHERS_WRITE = 0o022
OTHERS = 0o077
"""Bits of a mode that let somebody but the owner write, or do anything at all."""
_NO_PLACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM})
_STALE_SECONDS = 3600.0
_SUFFIX = ".new"


def claim_folder(path: Path, forbidden: int = OTHERS_WRITE) -> None:
    """Make a folder for us alone, or make sure that the one which is there is ours.

    Args:
        path: the folder; it is made with mode 0700.
        forbidden: permissions that an existing one must not have.

    Raises:
        UnavailableError: it is not ours alone, or may not be made.
        OSError: there is no room for it.
    """
    try:
        for missing in reversed([one for one in (path, *path.parents) if not one.exists()]):
            with contextlib.suppress(FileExistsError):
                missing.mkdir(mode=0o700)
        check_folder(path, forbidden)
    except OSError as error:
        if error.errno in _NO_PLACE:
            raise
        raise UnavailableError(
            f"folder {path}: {error.strerror}", hint="make it, owned by the user who runs this"
        ) from error


def check_folder(path: Path, forbidden: int = OTHERS_WRITE) -> None:
    """Make sure that a folder is ours alone.

    Whoever owns it, or may write in it or beside it, decides what our files in it are.

    Raises:
        UnavailableError: it is not.
        OSError: it is not there.
    """
    fault = _fault(path.lstat(), forbidden) or _fault_beside(path.parent.stat())
    if fault:
        raise UnavailableError(
            f"folder {path} {fault}: another user could have us read or overwrite any file",
            hint="look at what is in it and remove it, or set RUNTIME_DIRECTORY "
            "or STATE_DIRECTORY to a folder of your own",
        )


def _fault(found: os.stat_result, forbidden: int) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder"
    if found.st_uid not in {0, os.geteuid()}:
        return f"belongs to another user ({found.st_uid})"
    if found.st_mode & forbidden:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def _fault_beside(parent: os.stat_result) -> str:
    """Say why somebody could put another folder in its place."""
    if parent.st_mode & stat.S_ISVTX:
        return ""
    if parent.st_uid not in {0, os.geteuid()}:
        return f"lies in a folder of another user ({parent.st_uid})"
    if parent.st_mode & stat.S_IWOTH:
        return "lies in a folder that everybody may write"
    return ""


def write_whole(
    path: Path,
    content: str | bytes,
    mode: int = 0o644,
    *,
    group: str = "",
    durable: bool = True,
    make_folder: bool = True,
) -> None:
    """Write a file: the old one or the new one is there, never a half; a link is replaced.

    Args:
        path: the file.
        content: all of it.
        mode: its permissions, whatever the umask.
        group: its group, where the machine has one of that name.
        durable: it is there after a power cut, too; False for what lies in RAM.
        make_folder: its folder is made where it is missing.

    Raises:
        OSError: it cannot be written.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    folder = _open_folder(path.parent)
    try:
        _remove_stale(folder, path.name)
        fresh = f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}"
        try:
            with _write_new(folder, fresh, data, mode, group) as file:
                if durable:
                    os.fsync(file.fileno())
                os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
                if durable:  # on FAT the entry of the new name is that of an empty file until then
                    os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(fresh, dir_fd=folder)
            raise
        if durable:
            os.fsync(folder)
    finally:
        os.close(folder)


def _write_new(folder: int, name: str, data: bytes, mode: int, group: str) -> BinaryIO:
    """Write a file that is not there yet; return it open, and what it holds handed over."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb")
    try:
        if group:
            with contextlib.suppress(LookupError):
                shutil.chown(file.fileno(), group=group)
        os.fchmod(file.fileno(), mode)  # last: a change of owner clears bits
        file.write(data)
        file.flush()
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
        raise
    return file


def _open_folder(path: Path) -> int:
    """Open a folder; a link to one only if we, or root, made the link."""
    link = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(link)
        if not stat.S_ISLNK(found.st_mode):
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=link)
        if found.st_uid not in {0, os.geteuid()}:
            raise OSError(errno.ELOOP, f"is a link that another user ({found.st_uid}) made")
        target = os.readlink("", dir_fd=link)
    finally:
        os.close(link)
    return os.open(path.parent / target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _remove_stale(folder: int, name: str) -> None:
    """Remove what a power cut left of earlier tries; what is younger may be at work."""
    oldest = time.time() - _STALE_SECONDS
    for one in os.listdir(folder):
        if one.startswith(f".{name}.") and one.endswith(_SUFFIX):
            with contextlib.suppress(OSError):
                if os.stat(one, dir_fd=folder, follow_symlinks=False).st_mtime < oldest:
                    os.unlink(one, dir_fd=folder)
