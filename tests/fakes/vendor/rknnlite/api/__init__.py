"""Follows RKNN Toolkit Lite2 2.5's API: integers for success, no exceptions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

ANCHOR, CLASS = 1000, 17


class RKNNLite:
    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_2 = 4
    NPU_CORE_0_1 = 3
    NPU_CORE_0_1_2 = 7
    NPU_CORE_ALL = 0xFFFF

    def __init__(self) -> None:
        self._open = False

    def load_rknn(self, path: str) -> int:
        return 0 if Path(path).read_bytes()[:4] == b"RKNN" else -1

    def init_runtime(self, **options: int) -> int:
        log = os.environ.get("FAKE_RKNN_LOG")
        if log:
            Path(log).write_text(repr(options))
        if os.environ.get("FAKE_RKNN") == "no_driver":
            print("failed to open rknpu module, need to insmod rknpu dirver!")
            return -1
        self._open = True
        return 0

    def inference(self, inputs: list[Any]) -> list[Any] | None:
        assert self._open
        (picture,) = inputs
        assert picture.shape == (1, 300, 300, 3)
        assert picture.dtype == np.uint8
        if os.environ.get("FAKE_RKNN") == "lost" and picture.any():
            return None
        logits = np.full((1917, 91), -12, np.float32)
        if picture.any():
            logits[ANCHOR, CLASS] = 4
        return [np.zeros((1917, 4), np.float32), logits]

    def release(self) -> None:
        self._open = False
