"""Makers of each format of the model: each writes a file and returns it with what runs it.

What runs it takes a normalised picture, float32 (1, size, size, 3), and returns box encodings and
class logits as real numbers. A maker whose converter is not installed raises ImportError.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tfjs
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = tfjs.TRAINED_SIZE
SCALE, OFFSET = 0.007843138, -1.0

Outputs = tuple[np.ndarray, np.ndarray]


def make_tflite(network: Any, pictures: list[Path], out: Path, kind: str, stem: str = "") -> Any:
    """Convert with TensorFlow's own converter."""
    size = network.inputs[0].shape[1]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network], network)
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: samples_of(pictures, size)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.int8
    path = out / f"{stem or f'ssdlite_mobilenet_v2_{kind}'}.tflite"
    path.write_bytes(converter.convert())
    interpreter = tf.lite.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}

    def run(picture: np.ndarray) -> Outputs:
        value = picture
        if given["dtype"] == np.uint8:
            value = np.clip(np.round((picture - OFFSET) / SCALE), 0, 255).astype(np.uint8)
        interpreter.set_tensor(given["index"], value)
        interpreter.invoke()
        return tuple(real(interpreter, outputs[n]) for n in ("box_encodings", "class_logits"))

    return path, run


def make_onnx(network: Any, out: Path) -> Any:
    """Convert with tf2onnx; run with onnxruntime."""
    import onnxruntime
    import tf2onnx

    path = out / "ssdlite_mobilenet_v2.onnx"
    # The public wrappers want a Keras model or a saved one.
    tf2onnx.convert._convert_common(  # noqa: SLF001
        network.graph.as_graph_def(),
        name="ssdlite",
        opset=17,
        output_path=str(path),
        input_names=[network.inputs[0].name],
        output_names=[t.name for t in network.outputs],
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return path, lambda picture: ordered(session.run(None, {name: picture}))


def make_ncnn(out: Path) -> Any:
    """Convert the ONNX file with pnnx; run with ncnn."""
    import ncnn
    import pnnx  # noqa: F401 - its command does the work

    source = out / "ssdlite_mobilenet_v2.onnx"
    subprocess.run(
        [Path(sys.executable).parent / "pnnx", source.name, f"inputshape=[1,{SIZE},{SIZE},3]"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=out,
    )
    stem = out / "ssdlite_mobilenet_v2.ncnn"
    declare_input(Path(f"{stem}.param"))
    net = ncnn.Net()
    if net.load_param(f"{stem}.param") or net.load_model(f"{stem}.bin"):
        raise ImportError("pnnx left no ncnn model")

    def run(picture: np.ndarray) -> Outputs:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(np.ascontiguousarray(picture), batch_index=0).clone())
        return ordered([np.asarray(extractor.extract(f"out{i}")[1]) for i in (0, 1)])

    return Path(f"{stem}.bin"), run


def declare_input(param: Path) -> None:
    """Write the input's shape into the graph: the appliance refuses one that does not say it."""
    lines = param.read_text().splitlines()
    lines = [
        f"{line} 0=3 1={SIZE} 2={SIZE}" if line.startswith("Input ") else line for line in lines
    ]
    param.write_text("\n".join(lines) + "\n")


def make_graphdef(network: Any, out: Path) -> Any:
    """Freeze for TensorFlow itself; run what was written."""
    path = out / "ssdlite_mobilenet_v2.pb"
    path.write_bytes(network.graph.as_graph_def().SerializeToString(deterministic=True))
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    frozen = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    fetches = [frozen.graph.get_tensor_by_name(n) for n in ("box_encodings:0", "class_logits:0")]
    pruned = frozen.prune(frozen.graph.get_tensor_by_name("picture:0"), fetches)
    return path, lambda picture: ordered([np.asarray(v) for v in pruned(tf.constant(picture))])


def samples_of(pictures: list[Path], size: int = SIZE) -> Iterator[list[np.ndarray]]:
    """Yield calibration inputs."""
    for path in pictures:
        yield [load(path, size)]


def load(path: Path, size: int = SIZE) -> np.ndarray:
    """Return a picture as the network's normalised input."""
    picture = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return (np.asarray(picture, np.float32) * SCALE + OFFSET)[None].astype(np.float32)


def real(interpreter: Any, detail: dict[str, Any]) -> np.ndarray:
    """Return an output tensor as real numbers."""
    scale, zero = detail["quantization"]
    values = interpreter.get_tensor(detail["index"]).astype(np.float32)
    return (values - zero) * scale if scale else values


def ordered(outputs: list[np.ndarray]) -> Outputs:
    """Return (boxes, logits) whatever order a runtime gives them in."""
    boxes, logits = sorted(outputs, key=lambda one: one.size)
    if logits.shape[-1] != 91:
        logits = logits.reshape(91, -1).T
    return boxes, logits
