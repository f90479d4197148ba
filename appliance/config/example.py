"""``appliance.toml`` with every setting at its default, written from the structs."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import msgspec

from appliance.config.options import structs_of
from appliance.config.settings import AcceleratorSettings, CameraSettings, Settings

_HEADER = """\
# Configuration of the appliance. Every key shows its default; delete what you do not change.
# Fragments in conf.d/*.toml beside this file are merged, later ones win; cameras merge by name.
"""


def default_toml() -> str:
    """Return ``config/appliance.toml``: every setting with its default and its sentence."""
    lines = [_HEADER]
    tables: list[tuple[str, type[msgspec.Struct]]] = []
    for info in msgspec.structs.fields(Settings):
        kind = bare(info.type)
        if is_struct(info.type):
            tables.append((f"[{info.encode_name}]", kind))
            if info.name == "accelerator":
                tables += _tables_of("appliance.accelerators", "accelerator.options")
        elif info.name == "sinks":
            tables += _tables_of("appliance.sinks", "sinks")
        elif info.name != "camera":
            lines += _toml_setting(info)
    tables.append(("[[camera]]", CameraSettings))
    for header, struct in tables:
        lines += ["", f"# {summary(struct)}", header]
        for info in msgspec.structs.fields(struct):
            if (struct, info.name) != (AcceleratorSettings, "options"):  # tables of their own
                lines += _toml_setting(info)
    return "\n".join(lines) + "\n"


def _tables_of(room: str, key: str) -> list[tuple[str, type[msgspec.Struct]]]:
    """Return heading and struct of the kinds that lie in a room and have options."""
    return [
        (f"[{key}.{kind}]", options)
        for kind, options in structs_of(room).items()
        if options.__module__.startswith(room) and options.__struct_fields__
    ]


def _toml_setting(info: Any) -> list[str]:
    comment = f"# {description(info.type)}"
    value = default_of(info)
    if isinstance(value, msgspec.Struct):
        return [comment, f"# {info.encode_name} = {{}}"]
    if value == () and _holds_tables(info.type):
        return [comment, f"# {info.encode_name} = []"]  # said, it would forbid [[tables]]
    if value is None:
        return [comment, f"# {info.encode_name} ="]
    return [comment, f"{info.encode_name} = {toml_value(value)}"]


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + "}"
    return str(value)


def default_of(info: Any) -> Any:
    """Return a field's default; None where it has none."""
    if info.default_factory is not msgspec.NODEFAULT:
        return info.default_factory()
    return None if info.default is msgspec.NODEFAULT else info.default


def description(kind: Any) -> str:
    """Return the sentence of a setting."""
    for meta in getattr(kind, "__metadata__", ()):
        if getattr(meta, "description", None):
            return str(meta.description)
    return ""


def bare(kind: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def is_struct(kind: Any) -> bool:
    """Say whether a type is a table of its own."""
    one = bare(kind)
    return isinstance(one, type) and issubclass(one, msgspec.Struct)


def listed_struct(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a setting holds many of; None where it holds none."""
    arguments = get_args(bare(kind))
    one = bare(arguments[0]) if get_origin(bare(kind)) is tuple else None
    return one if isinstance(one, type) and issubclass(one, msgspec.Struct) else None


def _holds_tables(kind: Any) -> bool:
    one = bare(kind)
    return get_origin(one) is tuple and (
        listed_struct(kind) is not None or get_origin(bare(get_args(one)[0])) is dict
    )


def summary(struct: type[msgspec.Struct]) -> str:
    """Return the first line of what a struct says of itself."""
    return (struct.__doc__ or "").strip().splitlines()[0]
