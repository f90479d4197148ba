"""Look into a .tflite file without loading it: shapes, types, names, damage.

The native loader may crash on a damaged file, so everything it would follow is followed here
first, with bounds: tensors, buffers and the operators' indices.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from importlib import import_module
from typing import Any

from appliance.errors import AcceleratorUnavailableError, ModelError
from appliance.models.graph import GraphInfo, PostProcess, TensorInfo
from appliance.models.lineage import Lineage
from appliance.models.metadata import exporter_metadata
from appliance.vision.postprocess import Quantisation

FILE_IDENTIFIER = b"TFL3"
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 9: "int8"}
_MAX_TENSOR_BYTES = 1 << 30
_POSTPROCESS = b"TFLite_Detection_PostProcess"


def inspect_tflite(content: bytes, name: str) -> GraphInfo:
    """Return the interface of the first graph in ``content``.

    Args:
        content: the whole file.
        name: how messages call it.

    Raises:
        ModelError: not a .tflite file, truncated, or its references lead outside.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise ModelError(
            f"model {name}: is not a TensorFlow Lite file",
            hint="a .tflite file is expected; is the download complete?",
        )
    try:
        return _inspect(content, name)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError) as why:
        if isinstance(why, ModelError):
            raise
        raise ModelError(
            f"model {name}: is damaged or truncated ({len(content)} bytes)",
            hint="copy or download it again",
        ) from why


def _inspect(content: bytes, name: str) -> GraphInfo:
    schema = _schema()
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    if graph is None or graph.InputsLength() == 0 or graph.OutputsLength() == 0:
        raise ModelError(f"model {name}: has no inputs or no outputs")
    _check_buffers(model, len(content), name)
    _check_operators(model, graph, name)
    tensors = [_tensor(graph.Tensors(i), name) for i in range(graph.TensorsLength())]
    customs = (model.OperatorCodes(i).CustomCode() for i in range(model.OperatorCodesLength()))
    lineage = Lineage(_makers(schema, model, graph))
    places = [graph.Outputs(i) for i in range(graph.OutputsLength())]
    return GraphInfo(
        tuple(
            _sized(tensors[at], graph.Tensors(at))
            for at in (graph.Inputs(i) for i in range(graph.InputsLength()))
        ),
        tuple(lineage.traced(tensors[at], at) for at in places),
        tuple(custom.decode() for custom in customs if custom),
        _postprocess(model, graph, tensors, lineage),
        exporter_metadata(content, name),
    )


def _sized(picture: TensorInfo, tensor: Any) -> TensorInfo:
    """Return an input whose sides of any size are 0 where the file has 1 in their place.

    Converters write a size that may be changed as 1; others are sizes that work as they are.
    """
    told = [tensor.ShapeSignature(k) for k in range(tensor.ShapeSignatureLength())]
    if len(told) != len(picture.shape):
        return picture
    sides = zip(picture.shape[1:], told[1:], strict=True)
    shape = tuple(0 if side == 1 and any_size == -1 else side for side, any_size in sides)
    return replace(picture, shape=picture.shape[:1] + shape)


def _makers(schema: Any, model: Any, graph: Any) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Return operator and inputs of each tensor that an operator makes."""
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    makers = {}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = str(names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), ""))
        inputs = tuple(operator.Inputs(k) for k in range(operator.InputsLength()))
        for k in range(operator.OutputsLength()):
            makers[operator.Outputs(k)] = (name, inputs)
    return makers


def _postprocess(
    model: Any, graph: Any, tensors: list[TensorInfo], lineage: Lineage[int]
) -> PostProcess | None:
    """Return which outputs are those of the post-processing operator, whatever they are called.

    Its outputs are boxes, classes, scores and count, in this order (TensorFlow Lite,
    detection_postprocess.cc); a graph may list them in any other.
    """
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        if model.OperatorCodes(operator.OpcodeIndex()).CustomCode() != _POSTPROCESS:
            continue
        made = [operator.Outputs(k) for k in range(operator.OutputsLength())]
        outputs = [graph.Outputs(k) for k in range(graph.OutputsLength())]
        holders = {lineage.first_of(at, made): tensors[at].name for at in reversed(outputs)}
        if len(made) == 4 and operator.InputsLength() == 3 and all(one in holders for one in made):
            boxes, classes, scores, count = (holders[one] for one in made)
            return PostProcess(boxes, classes, scores, count, _classes(operator, tensors))
    return None


def _classes(operator: Any, tensors: list[TensorInfo]) -> int | None:
    """Return the number of classes without the background: the operator's, or of its scores."""
    try:
        flexbuffers = import_module("flatbuffers.flexbuffers")
        options = bytearray(
            operator.CustomOptions(k) for k in range(operator.CustomOptionsLength())
        )
        told = flexbuffers.GetRoot(options).AsMap["num_classes"].AsInt
        if told > 0:
            return int(told)
    except (ImportError, LookupError, ValueError, TypeError, AttributeError, struct.error):
        pass  # options of another make: the scores that go in have a column for each class
    shape: tuple[int, ...] = tensors[operator.Inputs(1)].shape
    return shape[-1] - 1 if len(shape) == 3 and shape[-1] > 1 else None


def _schema() -> Any:
    """Return the generated reader of .tflite files; imported here, for it takes 40 ms."""
    for module in ("ai_edge_litert.schema_py_generated", "tflite"):
        try:
            return import_module(module)
        except ImportError:
            continue
    raise AcceleratorUnavailableError(
        "accelerator cpu: no reader of .tflite files is installed",
        hint="pip install ai-edge-litert; beside tflite-runtime pip install tflite",
    )


def _check_buffers(model: Any, size: int, name: str) -> None:
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        if buffer.DataLength():
            buffer.Data(buffer.DataLength() - 1)
        if buffer.Offset() > 1 and buffer.Offset() + buffer.Size() > size:
            raise ModelError(f"model {name}: is truncated", hint="copy or download it again")


def _check_operators(model: Any, graph: Any, name: str) -> None:
    tensors, codes = graph.TensorsLength(), model.OperatorCodesLength()
    for i in range(codes):
        code = model.OperatorCodes(i)
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) < 0 or code.Version() < 0:
            raise ModelError(f"model {name}: is damaged", hint="copy or download it again")
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        inputs = [operator.Inputs(k) for k in range(operator.InputsLength())]
        outputs = [operator.Outputs(k) for k in range(operator.OutputsLength())]
        if operator.OpcodeIndex() >= codes or any(t >= tensors for t in inputs + outputs):
            raise ModelError(f"model {name}: is damaged", hint="copy or download it again")
    interface = [graph.Inputs(i) for i in range(graph.InputsLength())]
    interface += [graph.Outputs(i) for i in range(graph.OutputsLength())]
    if any(not 0 <= t < tensors for t in interface):
        raise ModelError(f"model {name}: is damaged", hint="copy or download it again")


def _tensor(tensor: Any, name: str) -> TensorInfo:
    shape = tuple(tensor.Shape(k) for k in range(tensor.ShapeLength()))
    elements = 1
    for side in shape:
        elements *= max(side, 1)
    if elements > _MAX_TENSOR_BYTES:
        raise ModelError(f"model {name}: a tensor of shape {shape} cannot be right")
    quantisation = Quantisation()
    parameters = tensor.Quantization()
    if parameters is not None and parameters.ScaleLength() == 1:
        zero = parameters.ZeroPoint(0) if parameters.ZeroPointLength() else 0
        quantisation = Quantisation(float(parameters.Scale(0)), int(zero))
    return TensorInfo(
        (tensor.Name() or b"").decode("utf-8", "replace"),
        shape,
        _TYPES.get(tensor.Type(), f"type {tensor.Type()}"),
        quantisation,
    )
