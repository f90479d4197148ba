"""What librknnrt.so does with a file and a picture, for the stand-in and for the real rknn_lite.py.

Texts are those that its users report (issues of airockchip/rknn-toolkit2); the file's layout is 64
bytes, the graph, a length, JSON. The chip is FAKE_RKNN_CHIP; FAKE_RKNN makes it fail.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np

ANCHOR, CLASS = 1000, 17
ONE_CORE = {"rk3566", "rk3568", "rk3562"}
_TWINS = {"rk3568": "rk3566", "rk3588s": "rk3588"}


def refused(data: bytes) -> str:
    """Return what it finds wrong when a file is loaded."""
    if os.environ.get("FAKE_RKNN") == "no_driver":
        return "failed to open rknpu module, need to insmod rknpu dirver!"
    if data[:4] != b"RKNN":
        return "parseRKNN from buffer: Invalid RKNN format!"
    version, length = struct.unpack_from("<QQ", data, 8)
    if version != 6:
        return f"Invalid RKNN model version {version}"
    chip = os.environ.get("FAKE_RKNN_CHIP", "rk3588")
    targets = json.loads(data[64 + length + 8 :])["target_platform"]
    if _TWINS.get(chip, chip) not in {_TWINS.get(one, one) for one in targets}:
        return "The rknn model does not match the RKNPU hardware version!"
    return ""


def result(picture: Any) -> list[Any] | None:
    """Return the outputs for a picture, or None if it gets lost."""
    if os.environ.get("FAKE_RKNN") == "lost" and picture.any():
        return None
    logits = np.full((1917, 91), -12, np.float32)
    if picture.any():
        logits[ANCHOR, CLASS] = 4
    return [np.zeros((1917, 4), np.float32), logits]
