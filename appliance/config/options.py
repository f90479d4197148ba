"""Options of kinds: what a camera, a sink or a filter can be told, checked like all settings."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.config.faults import find_faults
from appliance.errors import ConfigError
from appliance.extensions import kinds, load

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNUSABLE = "the configuration cannot be used:"


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a kind where there is nothing to choose."""


def convert(given: Mapping[str, Any], options: type[msgspec.Struct], key: str) -> Any:
    """Return what is given as an instance of ``options``.

    Args:
        given: a table of the configuration.
        options: a kind's struct.
        key: of the table, for the words of a fault.

    Raises:
        ConfigError: every fault, each with its key and what was expected.
    """
    faults = find_faults(dict(given), options, key)
    if faults:
        raise ConfigError(_UNUSABLE, faults=tuple(faults))
    try:
        return msgspec.convert(dict(given), options)
    except msgspec.ValidationError as error:  # each is right, together they are not
        raise ConfigError(_UNUSABLE, faults=(f"{key}: {error}",)) from error


def module_of(kind: str, places: Mapping[str, str], key: str) -> Any:
    """Return the module of a kind.

    Args:
        kind: its name.
        places: of all kinds, see ``appliance.extensions.kinds``.
        key: what stands for it in the configuration.

    Raises:
        ConfigError: no such kind, or its package cannot be loaded.
    """
    if kind not in places:
        close = difflib.get_close_matches(kind, places, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(places)}"
        raise ConfigError(_UNUSABLE, faults=(f"{key}: got {kind!r}, which is unknown; {hint}",))
    try:
        module = load(places[kind])
        _ = module.Options, module.create
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{key} {kind}: its package cannot be loaded ({places[kind]}: {error})",
            hint="install it anew, for this Python",
        ) from error
    return module


def all_options(
    given: Mapping[str, Mapping[str, Any]], places: Mapping[str, str], key: str
) -> dict[str, Any]:
    """Return the options of every kind, by its name; defaults where nothing is given.

    Raises:
        ConfigError: every fault of every table; or a kind that cannot be loaded.
    """
    chosen = options_given(given, places, key)
    return {
        kind: chosen[kind] if kind in chosen else module_of(kind, places, key).Options()
        for kind in places
    }


def options_given(
    given: Mapping[str, Mapping[str, Any]], places: Mapping[str, str], key: str
) -> dict[str, Any]:
    """Return the options of the kinds that are given some, other than their defaults, by name.

    A kind that cannot be loaded is left out: whoever wants it is told why.

    Raises:
        ConfigError: every fault of every table.
    """
    faults: list[str] = []
    found = {}
    for kind, table in given.items():
        try:
            options = module_of(kind, places, key).Options
            chosen = convert(table, options, f"{key}.{kind}")
        except ConfigError as error:
            faults += error.faults
        else:
            if chosen != options():
                found[kind] = chosen
    if faults:
        raise ConfigError(_UNUSABLE, faults=tuple(faults))
    return found


def structs_of(room: str) -> dict[str, type[msgspec.Struct]]:
    """Return the ``Options`` of every kind of a room, by its name.

    Raises:
        ConfigError: a kind of another package cannot be loaded.
    """
    places = kinds(room)
    key = room.rpartition(".")[2]
    return {kind: module_of(kind, places, key).Options for kind in places}
