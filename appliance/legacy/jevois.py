"""JeVois-A33 smart camera: detects by itself and says so on a serial port.

It opens no detector: set the camera's ``source = "jevois:/dev/ttyACM0"``
(``appliance.legacy.jevois_camera``). Its USB id is that of Linux's generic gadget, so its names
count too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Target, found
from appliance.board.machine import Machine, openable
from appliance.config.options import NoOptions
from appliance.errors import AcceleratorUnavailableError

if TYPE_CHECKING:
    from appliance.accelerators import Detector
    from appliance.models import Model

USB = "1d6b:0102"
_IN_CAMERA = 'detects by itself: set the camera\'s source = "jevois:{port}"'


class JeVoisAccelerator:
    """JeVois-A33 smart camera: detects by itself and says so on a serial port."""

    name = "jevois"
    target = Target("jevois", frozenset())
    max_detectors = 0
    about = About(
        title="JeVois-A33 smart camera",
        found_by="USB 1d6b:0102 named JeVois; /dev/ttyACM*",
        install="nothing; user in group dialout, ModemManager told to leave it alone",
        status="contract",
        note='a camera source (source = "jevois:/dev/ttyACM0"), tested over a pseudo-terminal',
    )

    def probe(self, machine: Machine) -> Finding:
        """Look for the camera and its port."""
        cameras = [
            one for one in machine.usb(USB) if "jevois" in (one.product + one.manufacturer).lower()
        ]
        if not cameras:
            return Finding(self.name, found=False, detail="no JeVois camera on USB")
        devices = (f"{cameras[0].product or 'JeVois'} ({USB})",)
        ports = machine.nodes("ttyACM*")
        problem = ""
        if not ports:
            problem = "its serial port /dev/ttyACM* is missing: is cdc_acm loaded?"
        elif not openable(ports[0]):
            problem = f"{machine.shown(ports[0])} may not be opened: join group dialout"
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        detail = f"{devices[0]}: {_IN_CAMERA.format(port=machine.shown(ports[0]))}"
        return found(self.name, detail, devices, "jevois")

    def open(self, model: Model, *, threads: int) -> Detector:  # noqa: ARG002 - the protocol's
        """Refuse: there is nothing to open here."""
        text = _IN_CAMERA.format(port="/dev/ttyACM0")
        raise AcceleratorUnavailableError(f"accelerator {self.name}: {text}")


Options = NoOptions


def create(_options: NoOptions) -> JeVoisAccelerator:
    return JeVoisAccelerator()
