"""An engine that computes on the CPU what an accelerator would, and misbehaves when told.

``options["control"]`` is a folder; a file in it with one of these names does what it says:
unplugged, hang, slow, wrong, constant, on_cpu, crash_open, refuse_frame, odd_exit, error.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np


class RefusedError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ScriptedEngine:
    def open(self, model: dict[str, Any], threads: int, options: dict[str, Any]) -> dict[str, Any]:
        from ai_edge_litert.interpreter import Interpreter

        self._control = Path(options["control"])
        if self._told("crash_open"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._told("unplugged"):
            raise RefusedError("unavailable", "no device")
        self._interpreter = Interpreter(model_path=model["path"], num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        details = {d["name"]: d for d in self._interpreter.get_output_details()}
        wanted = [details[name] for name in model["outputs"]]
        self._outputs = [d["index"] for d in wanted]
        return {
            "outputs": [
                (d["name"], np.dtype(d["dtype"]).name, d["shape"].tolist()) for d in wanted
            ],
            "runtime": "scripted 1",
            "placement": "CPU" if self._told("on_cpu") else "NPU",
        }

    def infer(self, picture: Any, outputs: list[Any]) -> None:
        if self._told("unplugged"):
            os.abort()
        if self._told("hang"):
            time.sleep(600)
        if self._told("odd_exit"):
            os._exit(255)
        if self._told("error"):
            raise RuntimeError("NC_ERROR")
        if self._told("slow"):
            time.sleep(0.2)
        if self._told("refuse_frame"):
            raise RefusedError("failed", "not this one")
        if self._told("constant"):
            picture = np.zeros_like(picture)
        self._interpreter.set_tensor(self._input, picture[None])
        self._interpreter.invoke()
        for place, index in zip(outputs, self._outputs, strict=True):
            np.copyto(place, self._interpreter.get_tensor(index))
        if self._told("wrong"):
            outputs[0][:] = 100  # boxes far from where they should be

    def close(self) -> None:
        pass

    def _told(self, name: str) -> bool:
        return (self._control / name).exists()
