"""Whole files of heads without anchors: one random convolution a stride, and the exporters' ends.

The same graph is written as ONNX and as TensorFlow Lite. ``boxes`` are what a cell says of its
box, ``scores`` the rest, after a sigmoid; how both are joined is the exporter's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.onnx_bytes import constant, node, onnx, tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

WIDTH, HEIGHT = 128, 64
CLASSES = 3


@dataclass(frozen=True)
class Layout:
    """What a head's output looks like.

    Attributes:
        strides: of its cells.
        boxes, scores: numbers that a cell says of its box, and scores.
        scores_first: in a cell's numbers.
        cells_last: (1, numbers, cells), not (1, cells, numbers).
        sides: what boxes are multiplied with after a sigmoid, as decoded ones are; none for raw.
        level: largest value of a pixel in the input.
        output: name of it.
        picture: name of the input.
    """

    strides: tuple[int, ...]
    boxes: int
    scores: int
    level: float
    scores_first: bool = False
    cells_last: bool = False
    sides: tuple[float, ...] = ()
    output: str = "output"
    picture: str = "images"
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        return sum(-(-WIDTH // s) * -(-HEIGHT // s) for s in self.strides)

    @property
    def shape(self) -> tuple[int, int, int]:
        numbers = self.boxes + self.scores
        return (1, numbers, self.cells) if self.cells_last else (1, self.cells, numbers)


NAMES = {"names": "{0: 'ant', 1: 'bee', 2: \"queen's bee\"}", "task": "detect", "stride": "32"}
THREE = (8, 16, 32)
YOLOV8 = Layout(
    THREE,
    4,
    CLASSES,
    1.0,
    cells_last=True,
    sides=(WIDTH, HEIGHT, WIDTH, HEIGHT),
    output="output0",
    metadata=NAMES,
)
YOLOV8_SHARES = Layout(
    THREE,
    4,
    CLASSES,
    1.0,
    cells_last=True,
    sides=(1.0, 1.0, 1.0, 1.0),
    output="Identity",
    metadata=NAMES,
)
YOLOX = Layout(THREE, 4, 1 + CLASSES, 255.0)
NANODET = Layout((8, 16, 32, 64), 32, CLASSES, 2.0, scores_first=True, picture="data")


def weights(layout: Layout, stride: int, part: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a convolution's (channels, height, width, 3) and biases, whatever the format."""
    random = np.random.default_rng(100 * stride + part)
    channels = (layout.boxes, layout.scores)[part]
    plain = random.normal(0, 1, (channels, stride, stride, 3))
    plain -= plain.mean(axis=(1, 2, 3), keepdims=True)
    scaled = plain * (4 / stride / layout.level)
    return scaled.astype(np.float32), random.normal(0, 0.5, channels).astype(np.float32)


def as_onnx(layout: Layout, *, pictures: int | str = 1) -> bytes:
    """Return the file; ``pictures`` with a name is any number of them."""
    nodes, constants, joined = [], [], []
    for part, name in ((0, "boxes"), (1, "scores")):
        each = []
        for stride in layout.strides:
            here = f"{name}{stride}"
            kernel, bias = weights(layout, stride, part)
            constants += [
                constant(f"{here}.w", np.ascontiguousarray(kernel.transpose(0, 3, 1, 2))),
                constant(f"{here}.b", bias),
                constant(f"{here}.s", np.array([1, len(bias), -1], np.int64)),
            ]
            conv = (layout.picture, f"{here}.w", f"{here}.b")
            nodes += [
                node("Conv", conv, f"{here}.map", strides=(stride, stride)),
                node("Reshape", (f"{here}.map", f"{here}.s"), here),
            ]
            each.append(here)
        nodes.append(node("Concat", tuple(each), name, axis=2))
        joined.append(name)
    nodes.append(node("Sigmoid", ("scores",), "probabilities"))
    joined[1] = "probabilities"
    if layout.sides:
        constants.append(constant("sides", np.array(layout.sides, np.float32).reshape(1, 4, 1)))
        nodes += [
            node("Sigmoid", ("boxes",), "within"),
            node("Mul", ("within", "sides"), "decoded"),
        ]
        joined[0] = "decoded"
    whole = layout.output if layout.cells_last else "whole"
    nodes.append(node("Concat", tuple(joined[:: -1 if layout.scores_first else 1]), whole, axis=1))
    if not layout.cells_last:
        nodes.append(node("Transpose", (whole,), layout.output, perm=(0, 2, 1)))
    return onnx(
        inputs=(tensor(layout.picture, (pictures, 3, HEIGHT, WIDTH)),),
        outputs=(tensor(layout.output, (pictures, *layout.shape[1:])),),
        nodes=tuple(nodes),
        constants=tuple(constants),
        metadata=layout.metadata,
    )


class _Lite:
    """A TensorFlow Lite graph that is being written."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.name = b"main"
        self.graph.tensors, self.graph.operators = [], []
        self._codes: dict[str, int] = {}

    def add(self, name: str, shape: tuple[int, ...], values: NDArray[Any] | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), list(shape), 0
        whole = values is not None and values.dtype == np.int32
        made.type = schema.TensorType.INT32 if whole else schema.TensorType.FLOAT32
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def run(
        self, operator: str, inputs: list[int], output: int, kind: str = "", **told: int
    ) -> int:
        if operator not in self._codes:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, operator)
            code.builtinCode = code.deprecatedBuiltinCode = number
            code.version = 1
            self._codes[operator] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self._codes[operator], inputs, [output]
        if kind:
            options = getattr(schema, f"{kind}T")()
            for name, value in told.items():
                setattr(options, name, value)
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = options
        self.graph.operators.append(made)
        return output

    def done(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.graph.inputs, self.graph.outputs = inputs, outputs
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def as_tflite(layout: Layout) -> bytes:
    lite = _Lite()
    picture = lite.add(layout.picture, (1, HEIGHT, WIDTH, 3))
    parts = []
    for part, channels in enumerate((layout.boxes, layout.scores)):
        each = []
        for stride in layout.strides:
            kernel, bias = weights(layout, stride, part)
            rows, columns = -(-HEIGHT // stride), -(-WIDTH // stride)
            flat = (1, rows * columns, channels)
            here = f"{part}.{stride}"
            maps = lite.add(f"{here}.map", (1, rows, columns, channels))
            inputs = [
                picture,
                lite.add(f"{here}.w", kernel.shape, kernel),
                lite.add(f"{here}.b", bias.shape, bias),
            ]
            valid = schema.Padding.VALID
            lite.run(
                "CONV_2D",
                inputs,
                maps,
                "Conv2DOptions",
                padding=valid,
                strideW=stride,
                strideH=stride,
                dilationWFactor=1,
                dilationHFactor=1,
            )
            shape = lite.add(f"{here}.s", (3,), np.array(flat, np.int32))
            each.append(lite.run("RESHAPE", [maps, shape], lite.add(here, flat)))
        whole = lite.add(f"{part}.whole", (1, layout.cells, channels))
        lite.run("CONCATENATION", each, whole, "ConcatenationOptions", axis=1)
        parts.append(whole)
    boxes, scores = parts
    activated = lite.add("probabilities", (1, layout.cells, layout.scores))
    scores = lite.run("LOGISTIC", [scores], activated)
    if layout.sides:
        four = (1, layout.cells, 4)
        within = lite.run("LOGISTIC", [boxes], lite.add("within", four))
        sides = lite.add("sides", (4,), np.array(layout.sides, np.float32))
        boxes = lite.run("MUL", [within, sides], lite.add("decoded", four), "MulOptions")
    pair = [scores, boxes] if layout.scores_first else [boxes, scores]
    table = (1, layout.cells, layout.boxes + layout.scores)
    name = "table" if layout.cells_last else layout.output
    output = lite.add(name, table)
    lite.run("CONCATENATION", pair, output, "ConcatenationOptions", axis=2)
    if layout.cells_last:
        order = lite.add("order", (3,), np.array([0, 2, 1], np.int32))
        turned = lite.add(layout.output, layout.shape)
        output = lite.run("TRANSPOSE", [output, order], turned, "TransposeOptions")
    return lite.done([picture], [output])
