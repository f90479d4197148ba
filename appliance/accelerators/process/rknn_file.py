"""What a file of Rockchip's converter says of itself, read without the vendor's library.

RKNN Lite2's ``load_rknn`` reads any file and returns success (rknn_lite.py 2.5.0); what is wrong
with it shows only when the NPU is opened, as an error number. So we look first: the file begins
with ``RKNN``, and ends with a JSON text that names the chips it was made for.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any

MAGIC = b"RKNN"
_LENGTH = struct.Struct("<Q")
_LENGTH_AT = 16
_HEADERS = (64, 24)
"""Bytes before the graph: since and before the second format."""
_TWINS = {"rk3588s": "rk3588", "rk3568": "rk3566"}
"""Chips with the same NPU: one file serves both."""


def wrong_with(content: bytes, chip: str) -> str:
    """Return why ``chip`` cannot run the file, or nothing where no reason is known."""
    if not content.startswith(MAGIC):
        return "is no RKNN file (or an encrypted one, which is not supported)"
    made_for = chips(content)
    if chip and made_for and _npu(chip) not in {_npu(one) for one in made_for}:
        named = " and ".join(one.upper() for one in made_for)
        return f"was converted for {named}, this is {chip.upper()}"
    return ""


def chips(content: bytes) -> tuple[str, ...]:
    """Return the chips that the file was made for; empty if it does not say."""
    named = _description(content).get("target_platform", ())
    texts = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return tuple(chip for text in texts for chip in re.findall(r"r[kv]\d{4}s?", str(text).lower()))


def _npu(chip: str) -> str:
    return _TWINS.get(chip, chip)


def _description(content: bytes) -> dict[str, Any]:
    if len(content) < _HEADERS[0] + _LENGTH.size:
        return {}
    length = _LENGTH.unpack_from(content, _LENGTH_AT)[0]
    for header in _HEADERS:
        at = header + length
        if at + _LENGTH.size > len(content):
            continue
        end = at + _LENGTH.size + _LENGTH.unpack_from(content, at)[0]
        try:
            found = json.loads(content[at + _LENGTH.size : end])
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}
