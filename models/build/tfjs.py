"""Read the TensorFlow.js graph of the source package into a TensorFlow concrete function.

The graph model stores a GraphDef as JSON with two liberties: byte attributes are lists of
integers (protobuf's JSON mapping wants base64), and constants carry no values (they lie in
binary shards, in the order of ``weightsManifest``).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INPUT_NODE = "Preprocessor/sub"
"""Everything up to here resizes and normalises one picture; the appliance does that itself."""
BOXES_NODE = "concat"
LOGITS_NODE = "concat_1"
ANCHORS_NODE = "Postprocessor/ExpandDims"
TRAINED_SIZE = 300
CLASSES = 91
HALVINGS = range(4, 10)
"""How often the picture was halved, rounding up, where each of the six box predictors looks."""


def load_graph(folder: Path) -> Any:
    """Return the GraphDef in ``folder`` (``model.json`` and its shards) with its weights."""
    model = json.loads((folder / "model.json").read_text())
    weights = _load_weights(folder, model["weightsManifest"])
    topology = {"node": model["modelTopology"]["node"], "versions": {"producer": 1087}}
    for node in topology["node"]:
        for attribute in node.get("attr", {}).values():
            _bytes_to_base64(attribute)
    graph = json_format.ParseDict(topology, tf.compat.v1.GraphDef(), ignore_unknown_fields=True)
    for node in graph.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
    return graph


def anchors(graph: Any) -> np.ndarray[Any, Any]:
    """Return the anchors, float32 (1917, 4), as ymin, xmin, ymax, xmax in 0..1."""
    (node,) = (node for node in graph.node if node.name == ANCHORS_NODE)
    return np.asarray(tf.make_ndarray(node.attr["value"].tensor)[0], np.float32)


def anchors_for(graph: Any, size: int) -> np.ndarray[Any, Any]:
    """Return the anchors of the same weights at another input size, float32 (n, 4).

    The weights know objects in pixels, so an anchor keeps its pixels, and its distance from the
    middle of what its cell sees. That middle moves against the grid with the parity of each
    feature map (TensorFlow pads an even map on one side only): anchors spread evenly over the
    picture cost a quarter of the accuracy at 256 pixels.
    """
    if size == TRAINED_SIZE:
        return anchors(graph)
    stored = anchors(graph).astype(np.float64)
    made, first = [], 0
    for number, (trained, seen) in enumerate(
        zip(_middles(TRAINED_SIZE), _middles(size), strict=True)
    ):
        count = 3 if number == 0 else 6
        shapes = (stored[first:, 2:] - stored[first:, :2])[:count] * TRAINED_SIZE / (2 * size)
        first += count * len(trained) ** 2
        spread = (np.arange(len(trained)) + 0.5) * TRAINED_SIZE / len(trained)
        line = (seen + np.mean(spread - trained)) / size
        centres = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        made.append(np.concatenate([centres - shapes, centres + shapes], axis=-1).reshape(-1, 4))
    return np.concatenate(made).astype(np.float32)


def merge_additions(graph: Any) -> Any:
    """Return the graph with each residual block's bias back at its convolution.

    The exporter made ``(convolution + shortcut) + bias`` of ``(convolution + bias) + shortcut``,
    with an AddN that TensorFlow Lite has in float32 only: 8 bit models then leave the integers,
    and the delegate, ten times.
    """
    changed = type(graph)()
    changed.CopyFrom(graph)
    nodes = {node.name: node for node in changed.node}
    for total in changed.node:
        inner = [nodes[name] for name in total.input if nodes.get(name, total).op == "AddN"]
        if total.op != "Add" or len(inner) != 1:
            continue
        (bias,) = (name for name in total.input if name != inner[0].name)
        convolution, shortcut = inner[0].input
        if nodes[bias].op != "Const" or nodes[convolution].op != "Conv2D":
            raise SystemExit(f"{inner[0].name}: is not a convolution, a shortcut and a bias")
        inner[0].op = "Add"
        del inner[0].attr["N"]
        inner[0].input[:] = [convolution, bias]
        total.input[:] = [inner[0].name, shortcut]
    return changed


def adapt(graph: Any, columns: Sequence[int]) -> Any:
    """Return the network alone, for any input size, with these columns of the class logits.

    Args:
        graph: as ``load_graph`` returns it.
        columns: class columns to keep, 0 (the background) first.
    """
    outputs = [BOXES_NODE, LOGITS_NODE]
    changed = tf.compat.v1.graph_util.extract_sub_graph(graph, outputs)
    nodes = {node.name: node for node in changed.node}
    for node in nodes.values():
        if "/ClassPredictor/" in node.name and node.op == "Const":
            node.attr["value"].tensor.CopyFrom(_columns_of(node, columns))
        elif node.op == "Reshape":
            # The shape is (batch, boxes, 1, 4) or (batch, boxes, classes).
            shape = nodes[node.input[1]].input
            shape[1] = _constant(changed, f"{node.name}/boxes", -1)
            if len(shape) == 3:
                shape[2] = _constant(changed, f"{node.name}/classes", len(columns))
    return changed


def concrete_function(graph: Any, size: int = TRAINED_SIZE) -> Any:
    """Return the network alone: normalised float32 (1, size, size, 3) to (boxes, logits)."""

    def network(picture: Any) -> Any:
        boxes, logits = tf.import_graph_def(
            graph,
            input_map={f"{INPUT_NODE}:0": picture},
            return_elements=[f"{BOXES_NODE}:0", f"{LOGITS_NODE}:0"],
            name="",
        )
        return {
            "boxes": tf.identity(boxes, "box_encodings"),
            "logits": tf.identity(logits, "class_logits"),
        }

    spec = tf.TensorSpec((1, size, size, 3), tf.float32, name="picture")
    wrapped = tf.compat.v1.wrap_function(network, [spec])
    return wrapped.prune(wrapped.inputs[0], wrapped.structured_outputs)


def _middles(size: int) -> list[np.ndarray[Any, Any]]:
    """Return for each predictor the pixel in the middle of what each cell of a line sees."""
    line, lines = np.arange(size) + 0.5, []
    for _ in range(HALVINGS.stop - 1):
        line = line[1 - len(line) % 2 :: 2]
        lines.append(line)
    return lines[HALVINGS.start - 1 :]


def _columns_of(node: Any, columns: Sequence[int]) -> Any:
    """Return a class predictor's weights or biases for ``columns``, as a tensor proto."""
    values = tf.make_ndarray(node.attr["value"].tensor)
    by_class = values.reshape(*values.shape[:-1], -1, CLASSES)[..., list(columns)]
    return tf.make_tensor_proto(by_class.reshape(*values.shape[:-1], -1))


def _constant(graph: Any, name: str, value: int) -> str:
    """Add a whole number to the graph; return its name."""
    node = graph.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.int32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
    return name


def _load_weights(folder: Path, manifest: list[Any]) -> dict[str, np.ndarray[Any, Any]]:
    weights: dict[str, np.ndarray[Any, Any]] = {}
    for group in manifest:
        content = b"".join((folder / shard).read_bytes() for shard in group["paths"])
        offset = 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(content, entry["dtype"], count, offset)
            weights[entry["name"]] = values.reshape(entry["shape"])
            offset += values.nbytes
        if offset != len(content):
            raise SystemExit(f"{folder}: the shards hold {len(content)} bytes, not {offset}")
    return weights


def _bytes_to_base64(attribute: dict[str, Any]) -> None:
    if isinstance(attribute.get("s"), list):
        attribute["s"] = base64.b64encode(bytes(attribute["s"])).decode()
    listed = attribute.get("list", {})
    if isinstance(listed.get("s"), list):
        listed["s"] = [
            base64.b64encode(bytes(item)).decode() if isinstance(item, list) else item
            for item in listed["s"]
        ]
