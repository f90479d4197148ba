"""Hardware and software of the comparison that nothing drives any more: named, and why refused.

Sources: the facts of each vendor's last release, read in 2026. An id is given only where one is
known; a device without a known id cannot be recognised, and that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Target
from appliance.config.options import NoOptions
from appliance.errors import AcceleratorUnavailableError

if TYPE_CHECKING:
    from appliance.accelerators import Detector
    from appliance.board.machine import Machine
    from appliance.models import Model

_RKNN1 = (
    "RKNN Toolkit 1.7.5 (December 2023) is its last, for Python 3.10 or older, with models that "
    "today's toolkit cannot make; needed would be that toolkit, npu_transfer_proxy and a model "
    "converted with it"
)


class Retired:
    """One retired system: the kind and the accelerator in one.

    Args:
        name: of the accelerator.
        title: of the hardware or software.
        found_by: what the probe looks for.
        reason: for the refusal.
        usb: ids that prove it.
        compatible: device-tree entries that prove it.
    """

    Options = NoOptions
    max_detectors = 0

    def __init__(
        self,
        name: str,
        title: str,
        found_by: str,
        reason: str,
        *,
        usb: tuple[str, ...] = (),
        compatible: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.about = About(title, found_by, "-", "refused", reason)
        self.target = Target(name, frozenset())
        self._usb = usb
        self._compatible = compatible

    def create(self, _options: NoOptions) -> Retired:
        return self

    def probe(self, machine: Machine) -> Finding:
        """Recognise it where an id is known; refuse it either way."""
        devices = tuple(f"{self.about.title} ({one.ids})" for one in machine.usb(*self._usb))
        devices += tuple(
            f"{self.about.title} ({one})" for one in machine.compatible() if one in self._compatible
        )
        known = self._usb or self._compatible
        if devices:
            detail = f"{devices[0]} is there but not supported: {self.about.note}"
        elif known:
            detail = f"none here; not supported: {self.about.note}"
        else:
            detail = f"cannot be recognised; not supported: {self.about.note}"
        return Finding(self.name, found=False, detail=detail, devices=devices)

    def open(self, model: Model, *, threads: int) -> Detector:  # noqa: ARG002 - the protocol's
        raise AcceleratorUnavailableError(f"accelerator {self.name}: {self.about.note}")


rk1808 = Retired("rk1808", "Rockchip RK1808 stick", "USB 2207:0018", _RKNN1, usb=("2207:0018",))
rk3399pro = Retired(
    "rk3399pro",
    "Rockchip RK3399Pro",
    "device tree rockchip,rk3399pro",
    _RKNN1,
    compatible=("rockchip,rk3399pro",),
)
hikey970 = Retired(
    "hikey970",
    "HiKey970",
    "device tree hisilicon,hi3670-hikey970",
    "HiSilicon's HiAI kit for its NPU is for Android, no Linux Python package exists; "
    "accelerator cpu runs on its cores",
    compatible=("hisilicon,hi3670-hikey970", "hisilicon,hi3670"),
)
bm1880 = Retired(
    "bm1880",
    "Sophon BM1880 stick",
    "no known id",
    "Bitmain's SDK ended in October 2019 (C++ only, its own .bmodel format), and the stick's USB "
    "id is not published",
)
ai2go = Retired(
    "ai2go",
    "Xnor AI2GO",
    "nothing: software",
    "Xnor was bought in 2020 and its service, and with it the licence of its models, is gone; it "
    "was software for the CPU, nothing to find; its binary model, no SSD, was published with 6.8 "
    "FPS on a Pi 3 and 12.5 on a Pi 4",
)
