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
    from pathlib import Path

INPUT_NODE = "Preprocessor/sub"
"""Everything up to here resizes and normalises one picture; the appliance does that itself."""
BOXES_NODE = "concat"
LOGITS_NODE = "concat_1"
ANCHORS_NODE = "Postprocessor/ExpandDims"


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


def concrete_function(graph: Any, size: int = 300) -> Any:
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
