"""Find every fault of a settings tree, each with its key, what was there and what was expected.

msgspec stops at the first fault and does not say what it got; this pass walks the structs and
converts each value on its own.
"""

from __future__ import annotations

import difflib
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

_SECRET_KEYS = ("password", "secret", "token")


def find_faults(value: Any, kind: Any, key: str = "") -> list[str]:
    """Return one line for each fault of ``value`` as a ``kind``; none if it converts."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_faults(value, kind, key)
    element = _element_struct(kind)
    if element is not None and isinstance(value, list):
        return [
            fault
            for number, item in enumerate(value, 1)
            for fault in find_faults(item, element, f"{key}[{_name_of(item, number)}]")
        ]
    return []


def _struct_faults(value: Any, kind: type[msgspec.Struct], key: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{key}: got {_shown(key, value)}, expected a table [{key}]"]
    fields = {info.encode_name: info for info in msgspec.structs.fields(kind)}
    faults = []
    for name, item in value.items():
        path = f"{key}.{name}" if key else name
        if name not in fields:
            faults.append(_unknown(path, name, list(fields)))
            continue
        nested = find_faults(item, fields[name].type, path)
        faults += nested or _convert_fault(item, fields[name].type, path)
    faults += [
        f"{key}.{name}: is missing"
        for name, info in fields.items()
        if info.required and name not in value
    ]
    return faults


def _convert_fault(value: Any, kind: Any, key: str) -> list[str]:
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        expected = _choices(kind) or str(error).split(" - at")[0].removeprefix("Expected ")
        return [f"{key}: got {_shown(key, value)}, expected {expected}"]
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN is not itself
        return [f"{key}: got nan, expected a number"]
    return []


def _choices(kind: Any) -> str:
    """Say what is possible where the kind is a choice; empty where msgspec says it well."""
    examples = [
        one
        for meta in getattr(kind, "__metadata__", ())
        if getattr(meta, "pattern", None)
        for one in meta.examples or ()
    ]
    if examples:
        return "a text such as " + ", ".join(repr(one) for one in examples)
    kind = _bare(kind)
    if get_origin(kind) is dict and get_origin(get_args(kind)[1]) is dict:
        return "a table for each kind"
    if get_origin(kind) in (UnionType, Union):
        arms = [_arm(one) for one in get_args(kind)]
        return " or ".join(arms) if all(arms) else ""
    if get_origin(kind) is not Literal:
        return ""
    return "one of " + _words(kind)


def _arm(kind: Any) -> str:
    """Say what one side of a union takes, if it is some words or numbers within limits."""
    if get_origin(kind) is Literal:
        return _words(kind)
    for one in getattr(kind, "__metadata__", ()):
        if isinstance(one, msgspec.Meta) and _bare(kind) is int:
            return f"a whole number, {one.ge} to {one.le}"
        if isinstance(one, msgspec.Meta) and _bare(kind) is float and one.le is not None:
            least = f"above {one.gt}" if one.gt is not None else f"from {one.ge}"
            return f"a number {least} to {one.le}"
    return ""


def _words(kind: Any) -> str:
    return ", ".join(repr(choice) for choice in get_args(kind))


def _unknown(path: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known) or 'none'}"
    return f"{path}: unknown key; {hint}"


def _shown(key: str, value: Any) -> str:
    if any(word in key.rsplit(".", 1)[-1] for word in _SECRET_KEYS):
        return "(hidden)"
    return repr(value)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _element_struct(kind: Any) -> Any:
    if get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,):
        element = _bare(get_args(kind)[0])
        if isinstance(element, type) and issubclass(element, msgspec.Struct):
            return element
    return None


def _name_of(item: Any, number: int) -> str:
    named = item.get("name") if isinstance(item, dict) else None
    return named if isinstance(named, str) and named else str(number)
