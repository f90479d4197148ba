"""Follows IECore of OpenVINO 2020.3 to 2022.3; FAKE_NCS lists its devices."""

import os

import numpy as np

__version__ = "2022.3.0"


class _Data:
    def __init__(self, shape):
        self.shape = list(shape)


class _Network:
    def __init__(self):
        self.input_info = {"picture": _Data((1, 300, 300, 3))}
        self.outputs = {
            "box_encodings": _Data((1, 1917, 1, 4)),
            "class_logits": _Data((1, 1917, 91)),
        }


class _Loaded:
    def infer(self, inputs):
        (picture,) = inputs.values()
        assert picture.shape == (1, 300, 300, 3) and picture.dtype == np.float32
        assert abs(picture).max() <= 1.001
        logits = np.full((1, 1917, 91), -12, np.float32)
        if picture.max() > 0:
            logits[0, 1000, 17] = 4
        return {"box_encodings": np.zeros((1, 1917, 1, 4), np.float32), "class_logits": logits}


class IECore:
    def __init__(self):
        self.available_devices = os.environ.get("FAKE_NCS", "CPU,MYRIAD").split(",")

    def read_network(self, model):
        with open(model, "rb") as file:
            if not file.read(1):
                raise RuntimeError("Unable to read the model")
        return _Network()

    def load_network(self, network, device_name, config):
        assert device_name.split(".")[0] in [one.split(".")[0] for one in self.available_devices]
        return _Loaded()
