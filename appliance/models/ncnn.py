"""Look into an ncnn .param file (text) without loading it.

ncnn crashes the process when it is given a picture of another shape than the graph was made for,
so a graph must declare its input's shape: ``Input in0 0 1 in0 0=3 1=300 2=300``.
"""

from __future__ import annotations

from appliance.errors import ModelError
from appliance.models.graph import GraphInfo, TensorInfo

MAGIC = "7767517"


def inspect_ncnn(content: bytes, name: str) -> GraphInfo:
    """Return the interface of the graph in ``content``; outputs have no shapes.

    Raises:
        ModelError: not a .param file, cut, or silent about its input's shape.
    """
    lines = content.decode("utf-8", "replace").split("\n")
    if lines[0].strip() != MAGIC:
        raise ModelError(
            f"model {name}: is not an ncnn .param file", hint="its first line must be 7767517"
        )
    try:
        declared = int(lines[1].split()[0])
        layers = [line.split() for line in lines[2:] if line.strip()]
        made, used, shapes = _wires(layers)
    except (IndexError, ValueError) as error:
        raise _damaged(name) from error
    if len(layers) != declared:
        raise _damaged(name)
    inputs = tuple(TensorInfo(blob, shape, "float32") for blob, shape in shapes.items())
    if any(len(one.shape) != 4 for one in inputs) or not inputs:
        raise ModelError(
            f"model {name}: its input layer declares no shape",
            hint="write it into the .param file: Input in0 0 1 in0 0=CHANNELS 1=WIDTH 2=HEIGHT",
        )
    outputs = tuple(TensorInfo(blob, (), "float32") for blob in made if blob not in used)
    return GraphInfo(inputs, outputs)


def _wires(
    layers: list[list[str]],
) -> tuple[list[str], set[str], dict[str, tuple[int, ...]]]:
    """Return blobs made, blobs used, and the inputs with (1, height, width, channels)."""
    made: list[str] = []
    used: set[str] = set()
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        bottoms, tops = int(layer[2]), int(layer[3])
        blobs = layer[4 : 4 + bottoms + tops]
        if len(blobs) != bottoms + tops:
            raise ValueError("a layer is cut")
        used.update(blobs[:bottoms])
        made += blobs[bottoms:]
        if layer[0] == "Input":
            options = dict(part.split("=", 1) for part in layer[4 + bottoms + tops :])
            sides = [int(options[key]) for key in ("2", "1", "0") if key in options]
            shapes[blobs[0]] = (1, *sides)
    return made, used, shapes


def _damaged(name: str) -> ModelError:
    return ModelError(
        f"model {name}: its .param file is damaged or cut", hint="copy or build it again"
    )
