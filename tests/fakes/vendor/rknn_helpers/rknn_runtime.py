"""Stand-in for one of the compiled modules of rknn-toolkit-lite2, which are for arm64 only.

All in this folder are laid beside the real ``rknn_lite.py`` (tests/test_vendors_code.py), with the
names and arguments that it calls them by; what the runtime says is ``librknnrt``.
"""

import os
import sys
from pathlib import Path

import numpy as np
from librknnrt import ONE_CORE, refused, result


class RKNNRuntime:
    def __init__(self, root_dir, target, device_id, async_mode, core_mask):
        assert (target, device_id, async_mode) == (None, None, False)
        self._outputs = None
        self._open = False

    def build_graph(self, rknn_data, load_model_in_npu, rknn_user_key):
        assert not load_model_in_npu
        assert rknn_user_key is None
        wrong = refused(rknn_data)
        if wrong:
            print("I RKNN: [14:34:00.921] RKNN Runtime Information: 2.3.2", file=sys.stderr)
            print(f"E RKNN: [14:34:00.922] {wrong}", file=sys.stderr)
            raise Exception("RKNN init failed. error code: RKNN_ERR_FAIL")  # noqa: TRY002 - as there
        self._open = True

    def set_core_mask(self, core_mask):
        if os.environ.get("FAKE_RKNN_LOG"):
            Path(os.environ["FAKE_RKNN_LOG"]).write_text(str(core_mask))
        if core_mask and os.environ.get("FAKE_RKNN_CHIP") in ONE_CORE:
            raise Exception("The core_mask is only supported by RK3576, RK3588.")  # noqa: TRY002
        return 0

    def check_rt_version(self):
        assert self._open

    def extend_rt_lib(self):
        assert self._open

    def check_dynamic_shape(self):
        assert self._open

    def set_inputs(self, inputs, data_type, data_format, inputs_pass_through):
        assert (data_type, data_format, inputs_pass_through) == (None, None, None)
        (picture,) = inputs
        if picture.shape != (1, 300, 300, 3) or picture.dtype != np.uint8:
            raise Exception("Size of inputs[0] is invalid!")  # noqa: TRY002
        self._outputs = result(picture)

    def run(self, get_frame_id):
        if self._outputs is None:
            raise Exception("RKNN run failed. error code: RKNN_ERR_TIMEOUT")  # noqa: TRY002
        return [0, 0]

    def get_outputs(self, get_frame_id, reuse_outputs):
        assert not reuse_outputs
        return self._outputs

    def release(self):
        self._open = False
