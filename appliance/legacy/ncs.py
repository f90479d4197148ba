"""Intel Neural Compute Stick 1 and 2 (Movidius Myriad 2 and X): dead, but drivable.

Sources: usb.ids, movidius/ncsdk and openvinotoolkit release notes. The last OpenVINO for the first
stick is 2020.3 LTS, for the second 2022.3 LTS, whose MYRIAD plugin is in Intel's archive, not in
the PyPI wheel; Python 3.10 or older. So it runs in a side interpreter.

Not run on hardware by us: the engine runs in the tests on the CPU plugin where a side interpreter
with OpenVINO 2022.3 is at hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from appliance.accelerators import About, Finding, Target, found
from appliance.accelerators.process.detector import EngineSpec, IsolatedDetector
from appliance.accelerators.process.interpreter import Interpreter, side_interpreter

if TYPE_CHECKING:
    from appliance.board.machine import Machine
    from appliance.models import Model

STICKS = {"03e7:2150": "NCS1", "03e7:2485": "NCS2", "03e7:f63b": "NCS (booted)"}
_LAST = {
    "NCS1": "2020.3, for Python 3.8 or older",
    "NCS2": "2022.3, for Python 3.10 or older",
    "NCS (booted)": "2022.3 (NCS2, Python up to 3.10) or 2020.3 (NCS1, Python up to 3.8)",
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a Neural Compute Stick."""

    device: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(MYRIAD(\..+)?|CPU)$",
            examples=["MYRIAD", "MYRIAD.1.2-ma2480", "CPU"],
            description="MYRIAD for any stick, MYRIAD.1.2-ma2480 for that one; CPU tries the "
            "interpreter without a stick.",
        ),
    ] = "MYRIAD"
    interpreter: Interpreter = ""


class NcsAccelerator:
    """Intel Neural Compute Stick 1 and 2 (Movidius Myriad 2 and X): dead, but drivable."""

    name = "ncs"
    target = Target("ncs", frozenset({"onnx"}))
    max_detectors = 1
    about = About(
        title="Intel Neural Compute Stick 1 and 2",
        found_by="USB 03e7:2150 (NCS1), 03e7:2485 (NCS2), 03e7:f63b (booted)",
        install="OpenVINO 2022.3 (NCS2) or 2020.3 (NCS1) with the MYRIAD plugin in a Python up to "
        "3.10 (3.8), named in accelerator.options.ncs.interpreter",
        status="contract",
        note="side interpreter; the same engine on the CPU plugin in the tests",
        published_fps={"NCS2 on Pi 3": 11, "NCS2 on Pi 4": 41},
    )

    def __init__(self, options: Options) -> None:
        self._side = side_interpreter(options.interpreter, self.name)
        self._device = options.device

    def probe(self, machine: Machine) -> Finding:
        """Look for a stick, and the interpreter that drives it."""
        sticks = machine.usb(*STICKS)
        if not sticks:
            return Finding(self.name, found=False, detail="no Neural Compute Stick on USB")
        title = STICKS[sticks[0].ids]
        devices = tuple(f"{STICKS[one.ids]} on USB ({one.ids})" for one in sticks)
        problem = self._side.problem
        if not self._side.configured:
            problem = (
                f"the last OpenVINO for it is {_LAST[title]}: install that in a side interpreter "
                "and name it in accelerator.options.ncs.interpreter"
            )
        if problem:
            detail = f"{devices[0]} is there but {problem}"
            return Finding(self.name, found=False, detail=detail, devices=devices)
        runtime = f"OpenVINO in {self._side.path}"
        return found(
            self.name, f"{devices[0]}, {runtime}", devices, f"{runtime} {self._side.version}"
        )

    def open(self, model: Model, *, threads: int) -> IsolatedDetector:
        """Load the model in the side interpreter."""
        spec = EngineSpec(
            accelerator=self.name,
            module=str(Path(__file__).with_name("side_engines") / "inference_engine.py"),
            engine="InferenceEngine",
            options={"device": self._device},
            interpreter=self._side.named,
            promises=self._device,
        )
        return IsolatedDetector(spec, model, threads=threads)


create = NcsAccelerator
