"""TensorFlow's end in the child; imports nothing that is not for every Python from 3.10."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators.process.tensors import InputTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.values import Pixels


class TensorFlowEngine:
    """Runs in the child."""

    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Import the frozen graph."""
        import tensorflow as tf  # noqa: PLC0415 - vendor code, only here

        del options
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        graph = tf.compat.v1.GraphDef.FromString(Path(model["path"]).read_bytes())
        frozen = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
        place = next(o for o in frozen.graph.get_operations() if o.type == "Placeholder")
        fetches = [frozen.graph.get_tensor_by_name(name) for name in model["outputs"]]
        self._run = frozen.prune(place.outputs[0], fetches)
        self._constant = tf.constant
        self._tensor = InputTensor(model)
        values = [np.asarray(v) for v in self._run(tf.constant(self._tensor.array))]
        return {
            "outputs": [
                (name, value.dtype.name, value.shape)
                for name, value in zip(model["outputs"], values, strict=True)
            ],
            "runtime": f"tensorflow {tf.__version__}",
            "placement": "CPU",
        }

    def infer(self, picture: Pixels, outputs: list[NDArray[Any]]) -> None:
        values = self._run(self._constant(self._tensor.fill(picture)))
        for place, value in zip(outputs, values, strict=True):
            np.copyto(place, np.asarray(value))

    def close(self) -> None:
        """Leave the rest to the end of the process."""
        del self._run
