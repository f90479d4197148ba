"""Settings as they may be shown: printed, packed, pasted where others read them.

The options of an accelerator, camera, filter or sink belong to its own file, which may be another
package's. What is secret in them is known by two signs only: the name of the key, and addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from appliance.config.addresses import secrets_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.config.settings import Settings

HIDDEN = "(secret)"
_NAMES = ("password", "passphrase", "secret", "token", "username", "api_key", "apikey")
_RECEIVER = "url"
"""Of a webhook: whoever knows its path may post there (Home Assistant, Slack, Discord)."""
_PLACES = ("_file", "_credential")
"""Endings of keys that say where a secret lies, which helpers need to know."""


def shown(settings: Settings) -> dict[str, Any]:
    """Return the settings as builtins, without anything secret."""
    tree: dict[str, Any] = _shown(msgspec.to_builtins(settings))
    return tree


def secrets_in(settings: Settings) -> tuple[str, ...]:
    """Return every secret text that stands in the settings, longest first."""
    return tuple(sorted(set(_found(msgspec.to_builtins(settings))), key=len, reverse=True))


def _secret(key: str) -> bool:
    name = key.lower().replace("-", "_")
    return any(word in name for word in _NAMES) and not name.endswith(_PLACES)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown_of(key, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value]
    return without_secrets(value) if isinstance(value, str) else value


def _shown_of(key: str, value: Any) -> Any:
    if _secret(key) and value:
        return HIDDEN
    if key == _RECEIVER and isinstance(value, str):
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname}/{HIDDEN}"
    return _shown(value)


def _found(value: Any, *, secret: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key == _RECEIVER and isinstance(one, str):
                parts = urlsplit(one)
                yield from (part for part in (parts.path.strip("/"), parts.query) if part)
            yield from _found(one, secret=secret or _secret(key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _found(one, secret=secret)
    elif isinstance(value, str):
        yield from (value,) if secret and value else secrets_of(value)
