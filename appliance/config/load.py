"""Read, merge and check the configuration.

Later wins: defaults, the file, ``conf.d/*.toml`` beside it in name order, ``APPLIANCE_*``
variables (``APPLIANCE_MQTT__HOST=broker``), ``--set mqtt.host=broker``. Cameras of fragments
merge with the file's by name; the default camera goes when another one is named.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.config.faults import find_faults
from appliance.config.scene import scene_faults
from appliance.config.settings import CameraSettings, Settings
from appliance.config.webhook import webhook_faults
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ENVIRONMENT_PREFIX = "APPLIANCE_"
RESERVED_TOPIC_NAMES = frozenset({"cmd", "status", "state", "info", "health", "alerts", "update"})
"""Topics of the device itself: no camera may have such a name."""
_DEFAULT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(CameraSettings()))


def load(
    path: Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[tuple[str, Any]] = (),
) -> Settings:
    """Return the effective settings.

    Args:
        path: the main file, or None for defaults only.
        environment: where ``APPLIANCE_*`` variables are looked up.
        overrides: dotted keys and their values, from the command line.

    Raises:
        ConfigError: every fault of every file, in one error.
    """
    faults: list[str] = []
    tree: dict[str, Any] = {}
    for file in _files(path):
        fragment = _read(file, faults)
        origin = f"{file}: "
        faults += [origin + fault for fault in find_faults(fragment, Settings)]
        tree = merge(tree, fragment)
    loose = [*_from_environment(environment or {}), *overrides]
    given: dict[str, Any] = {}
    for key, value in loose:
        _put(given, key, value)
    faults += find_faults(given, Settings)
    if faults:
        raise ConfigError("the configuration cannot be used:", faults=tuple(faults))
    return _finish(merge(tree, given))


def parse_overrides(pairs: Iterable[str]) -> list[tuple[str, Any]]:
    """Read ``key=value`` words; the value is TOML where it parses, else text.

    Raises:
        ConfigError: a word has no ``=``.
    """
    found = []
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set {pair}: expected KEY=VALUE", hint="--set mqtt.host=broker")
        found.append((key, _value(text)))
    return found


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on top: tables merge, cameras merge by name."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = merge(old, value)
        elif key == "camera" and isinstance(old, list) and isinstance(value, list):
            merged[key] = _merge_cameras(old, value)
        else:
            merged[key] = value
    return merged


def _merge_cameras(old: list[Any], new: list[Any]) -> list[Any]:
    if not all(isinstance(item, dict) for item in (*old, *new)):
        return new  # not tables: the faults were noted when the files were read
    cameras = {item.get("name", "camera"): item for item in old}
    if not any(item.get("name", "camera") == _DEFAULT["name"] for item in new):
        cameras = {name: item for name, item in cameras.items() if not _is_default(item)}
    for item in new:
        name = item.get("name", "camera")
        cameras[name] = merge(cameras.get(name, {}), item)
    return list(cameras.values())


def _is_default(camera: dict[str, Any]) -> bool:
    """Return whether it says nothing but defaults: it stands in until a camera is named."""
    return all(_DEFAULT.get(key, object()) == value for key, value in camera.items())


def _finish(tree: dict[str, Any]) -> Settings:
    faults = find_faults(tree, Settings)
    settings = None if faults else msgspec.convert(tree, Settings)
    if settings is not None:
        faults = cross_faults(settings)
    if settings is None or faults:
        raise ConfigError("the configuration cannot be used:", faults=tuple(faults))
    return settings


def cross_faults(settings: Settings) -> list[str]:
    """Return what is wrong with settings as a whole, each of which is right."""
    faults = []
    names = [camera.name for camera in settings.camera]
    if not names:
        faults.append("camera: got none, expected at least one [[camera]] table")
    faults += [
        f"camera[{name}].name: got it twice, expected a different name for each camera"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for camera in settings.camera:
        if camera.name in RESERVED_TOPIC_NAMES:
            faults.append(
                f"camera[{camera.name}].name: is a topic of the device itself; choose another"
            )
        x, y, w, h = camera.crop
        if w <= 0 or h <= 0 or x + w > 1.0001 or y + h > 1.0001:
            faults.append(
                f"camera[{camera.name}].crop: got {list(camera.crop)}, expected x, y, width, "
                "height inside 0..1 with some area"
            )
        faults += scene_faults(camera)
    faults += webhook_faults(settings.webhook, tuple(names))
    kinds = {camera.source.partition(":")[0] for camera in settings.camera}
    picamera2 = sorted(kinds & {"picamera2", "imx500"})
    if picamera2 and "libcamera" in kinds:
        faults.append(
            f"camera: got sources {' and '.join(picamera2)} beside libcamera, which take each "
            "other's frames; expected only one of picamera2 and libcamera in a unit"
        )
    mqtt = settings.mqtt
    if mqtt.password_file and mqtt.password_credential:
        faults.append("mqtt: give password_file or password_credential, not both")
    if bool(mqtt.tls_certificate_file) != bool(mqtt.tls_key_file):
        faults.append("mqtt: tls_certificate_file and tls_key_file belong together")
    if not mqtt.tls and (mqtt.tls_ca_file or mqtt.tls_certificate_file):
        faults.append("mqtt.tls: got false, expected true where tls_* files are given")
    return faults


def _files(path: Path | None) -> list[Path]:
    if path is None:
        return []
    return [path, *sorted((path.parent / "conf.d").glob("*.toml"))]


def _read(file: Path, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        faults.append(f"{file}: no such file; copy config/appliance.toml there")
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        faults.append(f"{file}: is not UTF-8 text (byte {error.start})")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{file}: is not TOML: {error}")
    return {}


def _from_environment(environment: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        if "." in key or key == "device":
            yield key, _value(text)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        inner = tree.get(table)
        if not isinstance(inner, dict):
            inner = tree[table] = {}
        tree = inner
    tree[last] = value
