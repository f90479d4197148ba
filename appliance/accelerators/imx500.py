"""Sony IMX500 (Raspberry Pi AI Camera): the network runs in the sensor.

It opens no detector: set the camera's ``source = "imx500"`` and its frames carry detections
(``appliance.sources.imx500``). Found as picamera2 finds it, by the sub-device's kernel module.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.accelerators import About, Finding, Target, found
from appliance.board.machine import Machine, module_version
from appliance.config.options import NoOptions
from appliance.errors import AcceleratorUnavailableError

if TYPE_CHECKING:
    from appliance.accelerators import Detector
    from appliance.models import Model

_INSTALL = "apt install imx500-all python3-picamera2"
_IN_SENSOR = 'runs its network in the sensor: set the camera\'s source = "imx500"'


class Imx500Accelerator:
    """Sony IMX500 (Raspberry Pi AI Camera): the network runs in the sensor."""

    name = "imx500"
    target = Target("imx500", frozenset())
    max_detectors = 0
    about = About(
        title="Sony IMX500: Raspberry Pi AI Camera",
        found_by="a v4l-subdev whose kernel module is imx500",
        install=_INSTALL,
        status="contract",
        note='a camera source (source = "imx500"); picamera2 itself in CI, without a sensor',
    )

    def probe(self, machine: Machine) -> Finding:
        """Look for the sensor and its helper."""
        links = machine.glob("sys/class/video4linux/v4l-subdev*/device/driver/module")
        there = any(os.path.realpath(link).endswith("imx500") for link in links)
        if not there:
            return Finding(self.name, found=False, detail="no AI Camera (IMX500)")
        devices = ("IMX500 camera",)
        if module_version("picamera2") is None:
            detail = f"IMX500 camera is there but picamera2 is not installed: {_INSTALL}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        return found(self.name, f"IMX500 camera: {_IN_SENSOR}", devices, "imx500")

    def open(self, model: Model, *, threads: int) -> Detector:  # noqa: ARG002 - the protocol's
        """Refuse: there is nothing to open here."""
        raise AcceleratorUnavailableError(f"accelerator {self.name}: {_IN_SENSOR}")


Options = NoOptions


def create(_options: NoOptions) -> Imx500Accelerator:
    return Imx500Accelerator()
