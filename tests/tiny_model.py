"""A TFLite file that is no detector: one pooling operator over a picture, in 8 or 32 bits."""

from __future__ import annotations

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
}
SIDE = 32


def tiny_classifier(dtype: str) -> bytes:
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MAX_POOL_2D
    code.version = 2
    model.operatorCodes = [code]
    graph = schema.SubGraphT()
    graph.name = b"main"
    graph.tensors = [
        tensor("picture", [1, SIDE, SIDE, 3], dtype),
        tensor("classes", [1, 1, 1, 3], dtype),
    ]
    graph.inputs, graph.outputs = [0], [1]
    graph.operators = [pooling()]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensor(name: str, shape: list[int], dtype: str) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name.encode(), shape, TYPES[dtype], 0
    if dtype != "float32":
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = [1 / 128]
        made.quantization.zeroPoint = [0 if dtype == "int8" else 128]
    return made


def pooling() -> Any:
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = options.filterWidth = options.filterHeight = SIDE
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    operator.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
    operator.builtinOptions = options
    return operator
