"""``appliance models add``: check a model of the owner's, prove it, keep it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.accelerators import Machine, Registry
from appliance.errors import AcceleratorUnavailableError, ModelError, UsageError
from appliance.models import find_models_folder
from appliance.models.own import check_id, keep
from appliance.selection import Prover

if TYPE_CHECKING:
    import argparse

    from appliance.models import Catalogue, Model
    from appliance.selection.environment import Environment

EDGETPU_OPERATOR = "edgetpu-custom-op"


def add(
    catalogue: Catalogue, options: argparse.Namespace, folder: Path, environment: Environment
) -> int:
    """Keep the file under its id in ``folder``; print what was found."""
    if not options.name:
        raise UsageError("models add: which file?", hint="appliance models add FILE")
    path = Path(options.name)
    name = options.id or path.stem
    check_id(catalogue, name)
    model = catalogue.read_own(path, options.labels)
    proved = _prove(model, environment)
    entry = keep(model, name, folder, catalogue)
    named = [one for one in model.labels.names if one]
    print(f"{name}: {folder / entry.file}, {entry.bytes} bytes, sha256 {entry.sha256}")
    print(f"    input {model.input_width}x{model.input_height} {model.input_kind}")
    if named:
        print(f"    {len(named)} labels: {', '.join(named[:5])}{', ...' if named[5:] else ''}")
    else:
        print("    no labels: what it sees is called class_1, class_2, ... (--labels FILE)")
    print(f"    {proved}")
    if folder.resolve() not in {one.resolve() for one in find_models_folder()}:
        print(f"    to use it, set APPLIANCE_MODELS={os.fspath(folder)}")
    print(f'    use it: [model] name = "{name}"')
    return 0


def _prove(model: Model, environment: Environment) -> str:
    """Run the golden pictures where something is here that runs the model; say what came out.

    Raises:
        ModelError: the runtime refuses it, or it does not see what is there.
    """
    registry = Registry(places=environment.accelerators)
    wanted = "onnx" if model.format == "onnx" else "cpu"
    if EDGETPU_OPERATOR in model.custom_operators:
        wanted = "edgetpu"
    try:
        accelerator = registry.available(wanted, Machine(environment.root))
        detector = accelerator.open(model, threads=1)
    except AcceleratorUnavailableError as error:
        return f"not proved here: {error}"
    try:
        prover = Prover(registry.get("cpu"), environment.clock)
        right, reason = prover.judge(detector, model, None)
    finally:
        detector.close()
    if right is False:
        raise ModelError(
            f"model {model.path}: fails on pictures whose objects its labels name: {reason}",
            hint="are these its labels? is it trained for what they say?",
        )
    return f"proved: {reason}" if right else f"runs; {reason}"
