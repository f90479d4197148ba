"""Look into an .onnx file without loading it: the interface of its graph, and damage.

ONNX is a protobuf message; only the few fields that name inputs and outputs are read (field
numbers: onnx.proto of ONNX 1.16). A cut file shows because a length leads beyond its end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.errors import ModelError
from appliance.models.graph import GraphInfo, TensorInfo
from appliance.models.lineage import Lineage

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_TENSOR_NAME = 8
_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Field = tuple[int, int | memoryview]


def inspect_onnx(content: bytes, name: str) -> GraphInfo:
    """Return the interface of the graph in ``content``.

    Raises:
        ModelError: not an .onnx file, or damaged.
    """
    try:
        model = list(_fields(memoryview(content)))
        graphs = [value for number, value in model if number == _MODEL_GRAPH]
        metadata = {_text(v, 1): _text(v, 2) for number, v in model if number == _MODEL_METADATA}
        graph = list(_fields(_message(graphs[0])))
        stored = {_text(value, _TENSOR_NAME) for n, value in graph if n == _GRAPH_INITIALIZER}
        inputs = tuple(_tensor(value) for n, value in graph if n == _GRAPH_INPUT)
        outputs = tuple(_tensor(value) for n, value in graph if n == _GRAPH_OUTPUT)
        lineage = Lineage(_makers(_message(v) for n, v in graph if n == _GRAPH_NODE))
    except (IndexError, ValueError) as error:
        raise ModelError(
            f"model {name}: is not an ONNX file, or damaged ({len(content)} bytes)",
            hint="copy or download it again",
        ) from error
    inputs = tuple(one for one in inputs if one.name not in stored)
    if not inputs or not outputs:
        raise ModelError(f"model {name}: has no inputs or no outputs")
    return GraphInfo(
        tuple(map(_of_one_picture, inputs)),
        tuple(lineage.traced(_of_one_picture(one), one.name) for one in outputs),
        metadata=metadata,
    )


def _of_one_picture(tensor: TensorInfo) -> TensorInfo:
    """Return a tensor for any number of pictures as one for a single picture."""
    if len(tensor.shape) < 3 or tensor.shape[0] != 0:
        return tensor
    return replace(tensor, shape=(1, *tensor.shape[1:]))


def _makers(nodes: Iterator[memoryview]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return operator and inputs of each tensor that a node makes."""
    makers = {}
    for node in nodes:
        inputs = tuple(bytes(one).decode() for one in _children(node, _NODE_INPUT))
        maker = (_text(node, _NODE_OPERATOR), inputs)
        makers.update({bytes(one).decode(): maker for one in _children(node, _NODE_OUTPUT)})
    return makers


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield the number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(message):
            raise ValueError("a field leads beyond the end")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a message was expected")  # noqa: TRY004 - damage, not a caller's mistake
    return value


def _text(value: int | memoryview, number: int) -> str:
    return next(
        (bytes(_message(v)).decode() for n, v in _fields(_message(value)) if n == number), ""
    )


def _tensor(value: int | memoryview) -> TensorInfo:
    """Read a ValueInfoProto: name 1, type 2 (tensor_type 1: elem_type 1, shape 2: dim 1)."""
    shape: list[int] = []
    dtype = 0
    for kind in _children(_message(value), 2):
        for tensor in _children(kind, 1):
            dtype = next((v for n, v in _fields(tensor) if n == 1 and isinstance(v, int)), 0)
            for dimensions in _children(tensor, 2):
                for dimension in _children(dimensions, 1):
                    sides = (v for n, v in _fields(dimension) if n == 1 and isinstance(v, int))
                    shape.append(next(sides, 0))
    return TensorInfo(_text(value, 1), tuple(shape), _TYPES.get(dtype, f"type {dtype}"))


def _children(message: memoryview, number: int) -> Iterator[memoryview]:
    return (_message(value) for n, value in _fields(message) if n == number)
