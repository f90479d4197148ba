"""Our picamera2 source with the real picamera2 on libcamera's virtual camera.

Runs inside the container. What picamera2 needs of a Raspberry Pi and the virtual camera has not is
stood in for: display and raw formats, memory allocation by dma-heap, and modules for encoders.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any

STAND_INS = frozenset(
    {"pykms", "kms", "prctl", "pidng", "libarchive", "jsonschema", "av", "tqdm", "v4l2", "piexif"}
    | {"Imath", "OpenEXR"}
)
"""Those of them that are installed are used."""
FRAMES = 5


class Endless(type):
    """A class whose attributes are classes like it."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Endless(name, (), {})


class Anything(types.ModuleType):
    """A module with every attribute, none of which is used by what is shown here."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Endless(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-ins."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        if name.partition(".")[0] in STAND_INS:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return Anything(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: it has all attributes already."""


def prepare() -> Any:
    """Return the module picamera2, able to use the virtual camera."""
    sys.meta_path.append(Finder())
    import picamera2
    from picamera2 import Picamera2
    from picamera2.allocators import LibcameraAllocator

    raw = {"format": "SBGGR10", "size": (640, 480), "bit_depth": 10, "fps": 30.0}
    Picamera2._get_raw_modes = lambda _self: [raw]
    configure = Picamera2.configure

    def with_its_own_memory(self: Any, *words: Any) -> Any:
        self.allocator = LibcameraAllocator(self.camera)
        return configure(self, *words)

    Picamera2.configure = with_its_own_memory
    return picamera2


def main() -> None:
    """Open the source and read some frames."""
    prepare()
    from appliance.clock import SystemClock
    from appliance.config import CameraSettings
    from appliance.sources import create_source

    camera = CameraSettings(
        source="picamera2", width=640, height=480, fps=30, options={"lores": False}
    )
    source = create_source(camera, input_size=(320, 320), clock=SystemClock())
    source.open()
    try:
        for _ in range(FRAMES):
            frame = source.read()
            assert frame is not None and (frame.width, frame.height) == (640, 480), frame
            assert frame.planes[0].any(), "a black picture"
            frame.release()
    finally:
        source.close()
    print(f"picamera2 delivered {FRAMES} frames of the test pattern")


if __name__ == "__main__":
    main()
