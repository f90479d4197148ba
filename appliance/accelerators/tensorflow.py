"""The whole TensorFlow framework: the baseline of 2019 that TensorFlow Lite beat by 3 to 4 times.

API: tensorflow-cpu 2.21. An optional extra: it is large, and may live in an interpreter of its own
(``accelerator.interpreters.tensorflow``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.accelerators import About, Finding, Options, Target
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import side_interpreter
from appliance.accelerators.process.tensors import InputTensor
from appliance.board.machine import module_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.board.machine import Machine
    from appliance.models import Model
    from appliance.values import Pixels

IMPORT_SECONDS = 180.0
"""TensorFlow takes up to a minute to import from an SD card; twice that and more is a fault."""


class TensorFlowAccelerator:
    """See the module's description."""

    name = "tensorflow"
    target = Target("tensorflow", frozenset({"graphdef"}))
    max_detectors = None
    about = About(
        title="TensorFlow itself, on the CPU",
        found_by="the Python package, in ours or in a configured interpreter",
        install="pip install tensorflow-cpu",
        status="tested",
        note="the baseline of 2019",
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options, self.name)

    def probe(self, machine: Machine) -> Finding:  # noqa: ARG002 - a CPU is always there
        """Find the package."""
        if self._side.configured:
            detail = self._side.problem or f"in {self._side.path}"
            found = not self._side.problem
            return Finding(
                self.name,
                found=found,
                detail=detail,
                runtime=f"side {self._side.path} {self._side.version}",
            )
        version = module_version("tensorflow", "tensorflow-cpu")
        if version is None:
            detail = (
                "tensorflow is not installed: pip install tensorflow-cpu, or name an interpreter "
                "that has it in accelerator.interpreters"
            )
            return Finding(self.name, found=False, detail=detail)
        text = f"tensorflow {version}"
        return Finding(self.name, found=True, detail=text, runtime=text)

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in a child process."""
        spec = EngineSpec(
            accelerator=self.name,
            module=__name__,
            engine="TensorFlowEngine",
            interpreter=self._side.named,
            environment={"CUDA_VISIBLE_DEVICES": "-1"},
            open_seconds=IMPORT_SECONDS,
        )
        return IsolatedDetector(spec, model, threads=threads)


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
        """Fill ``outputs``."""
        values = self._run(self._constant(self._tensor.fill(picture)))
        for place, value in zip(outputs, values, strict=True):
            np.copyto(place, np.asarray(value))

    def close(self) -> None:
        """Leave the rest to the end of the process."""
        del self._run


create = TensorFlowAccelerator
