"""``appliance doctor``: what is wrong here, on a broken installation too; a bundle for helpers.

Every check stands alone: no camera, no network, no valid configuration, a full disk are findings.
Nothing secret goes into the bundle: passwords are in files that it leaves out, addresses lose
user, password and query, and options whose names say that they are secret are hidden.
"""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from appliance import __version__
from appliance.accelerators import Machine, Registry
from appliance.board.identity import board_name
from appliance.cli.check import checks_of
from appliance.cli.common import add_config_arguments, load_settings, print_json
from appliance.clock import SystemClock
from appliance.config import Settings
from appliance.config.secrets import HIDDEN, secrets_in, shown
from appliance.errors import ApplianceError, ConfigError, UnavailableError
from appliance.files import write_whole
from appliance.heat.causes import Causes
from appliance.selection.environment import Environment
from appliance.telemetry import Telemetry
from appliance.telemetry.thermal import Thermal
from appliance.telemetry.throttle import Throttle

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

State = Literal["ok", "warning", "fault", "unknown"]
UNIT = "appliance.service"
LITTLE_SPACE, NO_SPACE = 0.05, 0.01
"""Shares of a file system: below the first it is said, below the second things fail."""
_COMMAND_SECONDS = 10
_JOURNAL_LINES = "300"


@dataclass(frozen=True, slots=True)
class Row:
    """One finding."""

    check: str
    state: State
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config_arguments(parser)
    parser.add_argument(
        "--offline", action="store_true", help="do not open cameras nor reach the broker"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE.tar.gz", help="pack what helps")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Examine everything; exit code 69 if something is broken."""
    settings, fault = _settings(options)
    rows = [Row("configuration", "fault", fault) if fault else Row("configuration", "ok", "valid")]
    rows += examine(settings, Environment(), offline=options.offline)
    for row in rows:
        if options.json:
            print_json(asdict(row))
        else:
            print(f"{row.state:<8} {row.check:<20} {row.detail}")
    if options.bundle:
        pack(options.bundle, rows, settings)
        print(f"\npacked: {options.bundle}") if not options.json else None
    broken = any(row.state == "fault" for row in rows)
    return UnavailableError.exit_code if broken else 0


def _settings(options: argparse.Namespace) -> tuple[Settings, str]:
    """Return the settings, or the defaults and what is wrong with the file."""
    try:
        return load_settings(options), ""
    except ConfigError as error:
        return Settings(), str(error)


def examine(settings: Settings, environment: Environment, *, offline: bool) -> Iterator[Row]:
    """Yield one row for each thing that can be wrong."""
    for name, check in checks_of(settings, offline=offline):
        yield _row(name, check)
    looks: dict[str, Callable[[], Iterator[Row]]] = {
        "space": lambda: _space(environment),
        "heat and power": lambda: _heat(environment),
        "clock": _clock,
        "service": _service,
        "journal": _journal,
    }
    for name, look in looks.items():
        try:
            yield from look()
        except (OSError, ValueError, ApplianceError) as error:
            yield Row(name, "unknown", f"cannot be examined: {error}")


def _row(name: str, check: Callable[[], str]) -> Row:
    try:
        return Row(name, "ok", check())
    except ApplianceError as error:
        return Row(name, "fault", str(error))
    except (OSError, ValueError) as error:
        return Row(name, "unknown", f"cannot be examined: {error}")


def _space(environment: Environment) -> Iterator[Row]:
    folders = {"/": Path("/"), "state": environment.state_folder(), "run": Path("/run")}
    for name, folder in folders.items():
        place = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
        usage = shutil.disk_usage(place)
        share = usage.free / usage.total if usage.total else 1.0
        state: State = "ok"
        if share < LITTLE_SPACE:
            state = "fault" if share < NO_SPACE else "warning"
        free = f"{usage.free / 1e6:.0f} MB free of {usage.total / 1e6:.0f}"
        yield Row(f"space {name}", state, f"{place}: {free}")


def _heat(environment: Environment) -> Iterator[Row]:
    snapshot = Telemetry.over(environment.root, SystemClock()).snapshot()
    thermal, throttle = snapshot.get(Thermal), snapshot.get(Throttle)
    if thermal is None or thermal.temperature_celsius is None:
        yield Row("temperature", "unknown", "no sensor that can be read")
    else:
        soft = thermal.limits_celsius.get("soft")
        hot = soft is not None and thermal.temperature_celsius >= soft
        limit = "" if soft is None else f", slowed from {soft:.0f} on"
        text = f"{thermal.temperature_celsius:.1f} °C{limit}"
        yield Row("temperature", "warning" if hot else "ok", text)
    causes = Causes()
    told = causes.look(snapshot)
    past = throttle.since_boot if throttle else ()
    if told:
        yield Row("throttled", "warning", f"now: {', '.join(told)}")
    elif past:
        yield Row("throttled", "warning", f"not now; since boot: {', '.join(past)}")
    elif not causes.tells_of_heat:
        yield Row("throttled", "unknown", "nothing here would say so")
    else:
        yield Row("throttled", "ok", "no sign of it")
    for name, status in snapshot.collectors.items():
        if status.error:
            yield Row(f"collector {name}", "warning", status.error)


def _clock() -> Iterator[Row]:
    synced = SystemClock().synced()
    text = "synchronised" if synced else "not synchronised: times in messages may be wrong"
    yield Row("clock", "ok" if synced else "warning", text)


def _service() -> Iterator[Row]:
    text = _output("systemctl", "show", "-p", "ActiveState,SubState,NRestarts,ExecMainStatus", UNIT)
    if text is None:
        yield Row("service", "unknown", "systemd is not here")
        return
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    state: State = "ok" if values.get("ActiveState") == "active" else "warning"
    if values.get("ActiveState") == "failed":
        state = "fault"
    yield Row("service", state, ", ".join(f"{k} {v}" for k, v in values.items()))


def _journal() -> Iterator[Row]:
    text = _output(
        "journalctl", "-u", UNIT, "-p", "err", "-n", "5", "--no-pager", "-o", "cat", "-q"
    )
    if text is None:
        yield Row("journal", "unknown", "no journal can be read")
    elif text.strip():
        yield Row("journal", "warning", "; ".join(text.strip().splitlines()))
    else:
        yield Row("journal", "ok", "no errors")


def pack(path: Path, rows: list[Row], settings: Settings) -> None:
    """Write the bundle.

    Raises:
        UnavailableError: it cannot be written there.
    """
    secrets = tuple(secret.encode() for secret in secrets_in(settings))
    files = {name: _scrub(content, secrets) for name, content in _contents(rows, settings)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"appliance-doctor/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    try:
        write_whole(path, packed.getvalue(), 0o600, make_folder=False)
    except OSError as error:
        raise UnavailableError(
            f"bundle {path}: {error.strerror}", hint="is there space? a USB stick will do"
        ) from error


def _contents(rows: list[Row], settings: Settings) -> Iterator[tuple[str, bytes]]:
    root = Path("/")
    system = {
        "software": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "board": board_name(root),
    }
    yield "doctor.json", _json([asdict(row) for row in rows])
    yield "system.json", _json(system)
    yield "settings.json", _json(shown(settings))
    yield "probe.json", _json([asdict(one) for one in Registry().probe_all(Machine(root))])
    yield "telemetry.json", _json(Telemetry.over(root, SystemClock()).snapshot().flat())
    for name, words in {
        "journal.txt": ("journalctl", "-u", UNIT, "-n", _JOURNAL_LINES, "--no-pager", "-q"),
        "kernel.txt": ("journalctl", "-k", "-n", _JOURNAL_LINES, "--no-pager", "-q"),
        "df.txt": ("df", "-h"),
    }.items():
        text = _output(*words)
        if text:
            yield name, text.encode()


def _scrub(content: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """Return the content without the secrets, wherever a message quoted them."""
    for secret in secrets:
        content = content.replace(secret, HIDDEN.encode())
    return content


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


def _output(*words: str) -> str | None:
    """Return what a command prints; None where it is not there or fails."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            words, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
