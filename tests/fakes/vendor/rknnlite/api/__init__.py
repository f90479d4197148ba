"""Follows rknnlite/api/rknn_lite.py of rknn-toolkit-lite2 2.5.0 (PyPI), method by method.

As there: ``load_rknn`` reads whatever file there is and returns 0, -1 only for one that it cannot
read; what is wrong with it comes out of ``init_runtime`` as -1, with the reason in the log;
``inference`` gives None instead of raising. The texts are those of the wheel and of librknnrt.so
(issues of airockchip/rknn-toolkit2). The chip is FAKE_RKNN_CHIP, as librknnrt.so would read it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from librknnrt import ONE_CORE, refused, result


def _log(line: str) -> None:
    print(line, file=sys.stderr)


class RKNNLite:
    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_2 = 4
    NPU_CORE_0_1 = 3
    NPU_CORE_0_1_2 = 7
    NPU_CORE_ALL = 0xFFFF

    def __init__(self) -> None:
        self.rknn_data: bytes | None = None
        self._open = False

    def load_rknn(self, path: str) -> int:
        if not Path(path).exists():
            _log(f"E Invalid RKNN model path: {path}")
            return -1
        self.rknn_data = Path(path).read_bytes()
        return 0

    def init_runtime(self, **options: int) -> int:
        log = os.environ.get("FAKE_RKNN_LOG")
        if log:
            Path(log).write_text(repr(options))
        if self.rknn_data is None:
            _log("E Model is not loaded yet, this interface should be called after load_rknn!")
            return -1
        wrong = refused(self.rknn_data)
        if wrong:
            return self._refuse(wrong)
        if options.get("core_mask") and os.environ.get("FAKE_RKNN_CHIP") in ONE_CORE:
            _log("E Catch exception when set npu core mode.")
            return -1
        self._open = True
        return 0

    def _refuse(self, reason: str) -> int:
        _log("I RKNN: [14:34:00.921] RKNN Runtime Information: librknnrt version: 2.3.2")
        _log(f"E RKNN: [14:34:00.922] {reason}")
        _log("E RKNN: [14:34:00.922] rknn_init, load model failed!")
        _log("E Catch exception when init runtime!")
        _log("E Traceback (most recent call last):")
        _log('  File "rknnlite/api/rknn_lite.py", line 157, in init_runtime')
        _log('  File "rknnlite/api/rknn_runtime.py", line 921, in build_graph')
        _log("Exception: RKNN init failed. error code: RKNN_ERR_FAIL")
        return -1

    def inference(self, inputs: list[Any]) -> list[Any] | None:
        if not self._open:
            _log("E Runtime environment is not inited, please call init_runtime to init it first!")
            return None
        (picture,) = inputs
        if picture.shape != (1, 300, 300, 3) or picture.dtype != np.uint8:
            _log("E Catch exception when setting inputs.")
            return None
        outputs = result(picture)
        if outputs is None:
            _log("E Catch exception when running RKNN model.")
        return outputs

    def release(self) -> None:
        self._open = False
