"""What the tests of vendors' runtimes share: files that stand-ins take for models, a look."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.models import Catalogue, Model, find_models_folder

if TYPE_CHECKING:
    from appliance.accelerators import Accelerator, Detector
    from appliance.values import Pixels

VENDOR = Path(__file__).parent / "fakes/vendor"


def rknn_file(*chips: str, version: int = 6, graph: bytes = b"the graph") -> bytes:
    """A file as Rockchip's converter lays it out: header, graph, and JSON that names the chips."""
    text = json.dumps({"target_platform": list(chips), "version": "2.3.2"}).encode()
    header = b"RKNN" + struct.pack("<4xQQ40x", version, len(graph))
    return header + graph + struct.pack("<Q", len(text)) + text


def hef(**told: object) -> bytes:
    """What the stand-in takes for a HEF: ``compiled_for``, ``order``, ``outputs``."""
    return b"\x01HEF" + json.dumps(told).encode()


def write_rknn(folder: Path, content: bytes) -> None:
    """Write a converted file with the record of its conversion."""
    (folder / "ssdlite_mobilenet_v2.rknn").write_bytes(content)
    record = hashlib.sha256(content).hexdigest() + "\n"
    (folder / "ssdlite_mobilenet_v2.rknn.sha256").write_text(record)


@pytest.fixture(name="models")
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files that the stand-ins take for models; stand-ins can be imported."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "ssd_mobilenet_v1.hailo8l.hef").write_bytes(hef())
    write_rknn(folder, rknn_file("rk3588"))
    monkeypatch.setenv("APPLIANCE_MODELS", str(folder))
    monkeypatch.syspath_prepend(str(VENDOR))
    monkeypatch.setenv("PYTHONPATH", str(VENDOR))
    return folder


def load(accelerator: Accelerator, name: str = "auto") -> Model:
    return Catalogue(find_models_folder()).load(name, accelerator.target)


def look(detector: Detector, value: int) -> None:
    with detector.input() as picture:
        fill(picture, value)
    del picture
    detector.infer()


def fill(picture: Pixels, value: int) -> None:
    picture[:] = value
