"""Look into an .onnx file without running it: the interface of its graph, and damage.

The package ``onnx`` reads it, which comes with the extras whose runtimes take such files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.errors import ModelError
from appliance.models.graph import GraphInfo, TensorInfo
from appliance.models.lineage import Lineage

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16"}
"""By ``TensorProto.DataType``."""


def inspect_onnx(content: bytes, name: str) -> GraphInfo:
    """Return the interface of the graph in ``content``.

    Raises:
        ModelError: not an .onnx file, or damaged; or the package that reads it is missing.
    """
    try:
        from onnx import load_model_from_string  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ModelError(
            f"model {name}: to read .onnx files the package onnx is needed",
            hint="pip install 'appliance[onnx]', or pip install onnx",
        ) from error
    try:
        model = load_model_from_string(content)
    except Exception as error:
        raise ModelError(
            f"model {name}: is not an ONNX file, or damaged ({len(content)} bytes)",
            hint="copy or download it again",
        ) from error
    graph = model.graph
    stored = {one.name for one in graph.initializer}
    inputs = tuple(_tensor(one) for one in graph.input if one.name not in stored)
    outputs = tuple(_tensor(one) for one in graph.output)
    lineage = Lineage(_makers(graph))
    if not inputs or not outputs:
        raise ModelError(f"model {name}: has no inputs or no outputs")
    return GraphInfo(
        tuple(map(_of_one_picture, inputs)),
        tuple(lineage.traced(_of_one_picture(one), one.name) for one in outputs),
        metadata={one.key: one.value for one in model.metadata_props},
    )


def _of_one_picture(tensor: TensorInfo) -> TensorInfo:
    """Return a tensor for any number of pictures as one for a single picture."""
    if len(tensor.shape) < 3 or tensor.shape[0] != 0:
        return tensor
    return replace(tensor, shape=(1, *tensor.shape[1:]))


def _makers(graph: GraphProto) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return operator and inputs of each tensor that a node makes."""
    return {
        output: (node.op_type, tuple(node.input)) for node in graph.node for output in node.output
    }


def _tensor(value: ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    shape = tuple(side.dim_value for side in kind.shape.dim)  # 0 where it is any
    return TensorInfo(value.name, shape, _TYPES.get(kind.elem_type, f"type {kind.elem_type}"))
