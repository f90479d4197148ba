"""OpenVINO's old Inference Engine API in the child: the last that drives the Myriad sticks.

API: openvino.inference_engine.IECore of OpenVINO 2020.3 (NCS1) to 2022.3 (NCS2), Python 3.6 to
3.10. Options: ``device`` (MYRIAD; CPU runs the same code without a stick).
"""

import numpy as np


class RefusedError(Exception):
    """A refusal; ``kind`` as in appliance.accelerators.process.child."""

    def __init__(self, kind, message):
        Exception.__init__(self, message)
        self.kind = kind


class InferenceEngine(object):
    """See appliance.accelerators.process.child for what an engine is."""

    def open(self, model, threads, options):
        """Load the network into the stick."""
        from openvino import inference_engine

        core = inference_engine.IECore()
        device = options["device"]
        if not any(one.split(".")[0] == device for one in core.available_devices):
            raise RefusedError(
                "unavailable",
                "OpenVINO has no device %s, only %s" % (device, ", ".join(core.available_devices)),
            )
        settings = {"CPU_THREADS_NUM": str(threads)} if device == "CPU" else {}
        try:
            network = core.read_network(model["path"])
            self._network = core.load_network(network, device, settings)
        except (RuntimeError, ValueError) as error:
            raise RefusedError("model", "OpenVINO on %s: %s" % (device, error))
        self._input = next(iter(network.input_info))
        self._scale = np.asarray(model["scale"], np.float32)
        self._offset = np.asarray(model["offset"], np.float32)
        self._step = -1 if model["order"] == "bgr" else 1
        planar = model["layout"] == "nchw"
        size = (model["height"], model["width"])
        self._tensor = np.zeros((1, 3, *size) if planar else (1, *size, 3), np.float32)
        self._view = self._tensor[0].transpose(1, 2, 0) if planar else self._tensor[0]
        shapes = {name: tuple(one.shape) for name, one in network.outputs.items()}
        self._names = [_match(name, shapes) for name in model["outputs"]]
        return {
            "outputs": [
                (wanted, "float32", shapes[name])
                for wanted, name in zip(model["outputs"], self._names)
            ],
            "runtime": "openvino %s" % inference_engine.__version__,
            "placement": device,
        }

    def infer(self, picture, outputs):
        np.multiply(picture[:, :, :: self._step], self._scale, out=self._view)
        self._view += self._offset
        values = self._network.infer({self._input: self._tensor})
        for place, name in zip(outputs, self._names):
            np.copyto(place, values[name])

    def close(self):
        """Leave the rest to the end of the process."""
        self._network = None


def _match(wanted, shapes):
    """Return the network's name of an output: OpenVINO may drop the ``:0`` of TensorFlow's."""
    for name in (wanted, wanted.split(":")[0]):
        if name in shapes:
            return name
    raise RefusedError("model", "has no output %r, only %s" % (wanted, ", ".join(sorted(shapes))))
