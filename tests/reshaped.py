"""Other exports of a post-processed TFLite model: names, order and ends changed, weights not."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHAPES = ((1, 10, 4), (1, 10), (1, 10), (1,))


def unpacked(path: Path) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 23)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def renamed(
    path: Path, names: Sequence[str], order: Sequence[int], *, shaped: bool = False
) -> bytes:
    """Return the model with boxes, classes, scores and count called ``names``, listed in order.

    ``shaped``: the file tells the shapes of these, as TensorFlow 2's exports do.
    """
    model = unpacked(path)
    graph = model.subgraphs[0]
    outputs = list(graph.operators[-1].outputs)
    for at, name, shape in zip(outputs, names, SHAPES, strict=True):
        graph.tensors[at].name = name.encode()
        if shaped:
            graph.tensors[at].shape = list(shape)
    graph.outputs = [outputs[k] for k in order]
    model.signatureDefs = None
    return packed(model)


def without_postprocessing(path: Path) -> bytes:
    """Return the model cut before the operator: encodings, and scores after their sigmoid."""
    model = unpacked(path)
    graph = model.subgraphs[0]
    graph.outputs = list(graph.operators.pop().inputs)[:2]
    model.signatureDefs = None
    return packed(model)


def signed_input(model: Any) -> bytes:
    """Return a model of unsigned pixels with an input of signed bytes before them."""
    graph = model.subgraphs[0]
    (inner,) = graph.inputs
    outer = schema.TensorT()
    outer.name, outer.shape, outer.buffer = b"signed", list(graph.tensors[inner].shape), 0
    outer.type = schema.TensorType.INT8
    outer.quantization = schema.QuantizationParametersT()
    outer.quantization.scale = list(graph.tensors[inner].quantization.scale)
    outer.quantization.zeroPoint = [int(graph.tensors[inner].quantization.zeroPoint[0]) - 128]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 2
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [len(graph.tensors)], [inner]
    graph.tensors.append(outer)
    graph.operators.insert(0, operator)
    graph.inputs = [len(graph.tensors) - 1]
    model.signatureDefs = None
    return packed(model)


def with_labels(model: bytes, labels: str, name: str = "labelmap.txt") -> bytes:
    """Return the model with a label file as TFLite's metadata have it: in a zip behind it."""
    file = io.BytesIO(model)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, labels)
    return file.getvalue()
