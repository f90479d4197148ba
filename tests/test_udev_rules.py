"""Every USB id that a probe looks for has its rule."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.accelerators import edgetpu
from appliance.legacy import jevois, ncs

RULES = Path(__file__).parent.parent / "deploy/udev/65-appliance-accelerators.rules"


def test_probed_ids_have_rules() -> None:
    found = {
        ":".join(match)
        for match in re.findall(r'idVendor}=="(\w+)", ATTRS{idProduct}=="(\w+)"', RULES.read_text())
    }
    probed = {edgetpu.USB_BEFORE_FIRMWARE, edgetpu.USB_AFTER_FIRMWARE, jevois.USB, *ncs.STICKS}
    assert found == probed
