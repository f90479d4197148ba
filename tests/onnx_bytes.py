"""ONNX files of our own making: the protobuf messages, as small as they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Ints = tuple[int, ...]


def field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def number(field_number: int, value: int) -> bytes:
    return bytes([field_number << 3]) + varint(value)


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def tensor(name: str, shape: tuple[int | str, ...], kind: int = 1) -> bytes:
    """Return what a graph says of an input or output; a side with a name may have any size."""
    sides = (number(1, one) if isinstance(one, int) else field(2, one.encode()) for one in shape)
    dims = b"".join(field(1, side) for side in sides)
    return field(1, name.encode()) + field(2, field(1, number(1, kind) + field(2, dims)))


def node(operator: str, inputs: tuple[str, ...], output: str, **attributes: int | Ints) -> bytes:
    wires = b"".join(field(1, one.encode()) for one in inputs) + field(2, output.encode())
    told = b"".join(field(5, attribute(name, value)) for name, value in attributes.items())
    return wires + field(4, operator.encode()) + told


def attribute(name: str, value: int | Ints) -> bytes:
    if isinstance(value, int):
        return field(1, name.encode()) + number(3, value) + b"\xa0\x01\x02"
    whole = b"".join(number(8, one) for one in value)
    return field(1, name.encode()) + whole + b"\xa0\x01\x07"


def constant(name: str, values: NDArray[Any]) -> bytes:
    kind = {"float32": 1, "int64": 7}[values.dtype.name]
    shape = b"".join(number(1, side) for side in values.shape)
    return shape + number(2, kind) + field(8, name.encode()) + field(9, values.tobytes())


def onnx(
    *,
    inputs: tuple[bytes, ...],
    outputs: tuple[bytes, ...],
    stored: bytes = b"",
    nodes: tuple[bytes, ...] = (),
    constants: tuple[bytes, ...] = (),
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    graph = b"".join(field(1, one) for one in nodes) + field(2, b"graph")
    graph += b"".join(field(11, one) for one in inputs)
    graph += b"".join(field(12, one) for one in outputs)
    graph += b"".join(field(5, one) for one in constants)
    if stored:
        graph += field(5, field(8, b"weights") + field(9, stored))
    told = b"".join(
        field(14, field(1, key.encode()) + field(2, value.encode()))
        for key, value in (metadata or {}).items()
    )
    return number(1, 8) + field(7, graph) + field(8, field(1, b"") + number(2, 13)) + told
