"""ONNX Runtime in the child, with any execution providers; Python 3.6 and later (JetPack 4).

API: onnxruntime 1.11 to 1.31. Options: ``providers``, best first. A provider that cannot start is
left out without an error, so what the session really uses is reported as its placement.
"""

import numpy as np


class RefusedError(Exception):
    """The runtime refuses the model."""

    kind = "model"


class OnnxRuntimeEngine(object):
    """See appliance.accelerators.process.child for what an engine is."""

    def open(self, model, threads, options):
        """Make a session with the wanted providers that are installed."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        installed = onnxruntime.get_available_providers()
        wanted = [one for one in options["providers"] if one in installed]
        try:
            self._session = onnxruntime.InferenceSession(
                model["path"], settings, providers=wanted or ["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no public base class
            raise RefusedError("onnxruntime refuses it: %s" % error)
        self._input = self._session.get_inputs()[0].name
        self._names = model["outputs"]
        self._scale = np.asarray(model["scale"], np.float32)
        self._offset = np.asarray(model["offset"], np.float32)
        self._step = -1 if model["order"] == "bgr" else 1
        whole = model["kind"] == "uint8"
        size = (model["height"], model["width"])
        planar = model["layout"] == "nchw"
        shape = (1, 3, *size) if planar else (1, *size, 3)
        self._whole = whole
        self._tensor = np.zeros(shape, np.uint8 if whole else np.float32)
        self._view = self._tensor[0].transpose(1, 2, 0) if planar else self._tensor[0]
        values = self._run()
        return {
            "outputs": [(n, v.dtype.name, v.shape) for n, v in zip(self._names, values)],
            "runtime": "onnxruntime %s" % onnxruntime.__version__,
            "placement": ",".join(self._session.get_providers()),
        }

    def infer(self, picture, outputs):
        picture = picture[:, :, :: self._step]
        if self._whole:
            self._view[:] = picture
        else:
            np.multiply(picture, self._scale, out=self._view)
            self._view += self._offset
        for place, value in zip(outputs, self._run()):
            np.copyto(place, value)

    def close(self):
        """Leave the rest to the end of the process."""
        self._session = None

    def _run(self):
        return self._session.run(self._names, {self._input: self._tensor})
