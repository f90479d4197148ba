"""A unit's configuration as one file, to go to another card: it stays the same device there.

Holds the configuration, its secrets, and the built-in broker's accounts and certificates: whoever
has the file has those.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.board.identity import device_name
from appliance.card.paths import CardPaths
from appliance.config import load
from appliance.errors import BadInputError, ConfigError, UnavailableError
from appliance.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS = ("etc/appliance", "etc/mosquitto/appliance")
DEVICE = "etc/appliance/conf.d/30-device.toml"
"""Names the device on the new card, whose machine id is another."""
RESTORED = {
    "50-boot.toml": "45-restored.toml",
    "60-boot-secrets.toml": "46-restored-secrets.toml",
    "mqtt-ca.crt": "restored-ca.crt",
}
"""What came from the old card's boot partition is not on the new one's, and must not go with it."""
_LARGEST = 1 << 20


def back_up(layout: CardPaths, target: Path) -> list[str]:
    """Write the backup, readable by its owner only; return what is in it.

    Raises:
        ConfigError: the configuration cannot be used, and would not be on the other card.
        UnavailableError: something cannot be read or written.
    """
    settings = load(layout.configuration)
    device = settings.device or device_name(layout.root)
    files = dict(_files(layout.root))
    files[DEVICE] = (f'device = "{device}"\n'.encode(), 0o644)
    try:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, (content, mode) in sorted(files.items()):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), mode
                archive.addfile(info, io.BytesIO(content))
        write_whole(target, packed.getvalue(), 0o600, make_folder=False)
    except OSError as error:
        raise UnavailableError(f"backup {target}: {error.strerror}") from error
    return sorted(files)


def restore(layout: CardPaths, source: Path) -> list[str]:
    """Put a backup in place; return what was written. Nothing is changed if it is not one.

    Raises:
        BadInputError: it is not a backup, or holds what does not belong in one.
        ConfigError: its configuration cannot be used.
        UnavailableError: something cannot be written.
    """
    files = _read(source)
    with tempfile.TemporaryDirectory() as folder:
        trial = CardPaths(Path(folder))
        for name, (content, _) in files.items():
            write_whole(trial.root / name, content)
        try:
            load(trial.configuration)
        except ConfigError as error:
            faults = tuple(fault.replace(f"{folder}/", "/") for fault in error.faults)
            raise ConfigError(
                f"{source}: its configuration cannot be used:", faults=faults
            ) from error
    try:
        for name, (content, mode) in files.items():
            group = "mosquitto" if name.startswith(FOLDERS[1]) else "appliance"
            write_whole(layout.root / name, content, mode, group=group if mode & 0o040 else "")
    except OSError as error:
        raise UnavailableError(
            f"restore: {error}", hint="sudo appliance check --restore"
        ) from error
    return sorted(files)


def _files(root: Path) -> Iterator[tuple[str, tuple[bytes, int]]]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or path.is_symlink():
                continue
            try:
                content = path.read_bytes()
            except OSError as error:
                raise UnavailableError(
                    f"backup: {path}: {error.strerror}", hint="sudo appliance check --backup"
                ) from error
            name = path.with_name(RESTORED.get(path.name, path.name))
            if name.name == "46-restored-secrets.toml":
                content = content.replace(b"/mqtt-ca.crt", b"/restored-ca.crt")
            yield str(name.relative_to(root)), (content, path.stat().st_mode & 0o777)


def _read(source: Path) -> dict[str, tuple[bytes, int]]:
    files: dict[str, tuple[bytes, int]] = {}
    try:
        plain = io.BytesIO(gzip.decompress(source.read_bytes()))  # its checksum covers all of it
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            for info in archive:
                name = _name(source, info)
                files[name] = (_content(archive, info), info.mode & 0o660 | 0o400)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise BadInputError(f"{source}: is no backup: {error}") from error
    if "etc/appliance/appliance.toml" not in files:
        raise BadInputError(f"{source}: is no backup: it has no etc/appliance/appliance.toml")
    return files


def _name(source: Path, info: tarfile.TarInfo) -> str:
    parts = Path(info.name).parts
    inside = any(info.name.startswith(f"{folder}/") for folder in FOLDERS)
    if not info.isfile() or not inside or ".." in parts or info.size > _LARGEST:
        raise BadInputError(f"{source}: is no backup: {info.name!r} does not belong in one")
    return info.name


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(info)
    return b"" if stream is None else stream.read()
