"""What every example script does with a video: read, convert, resize, set, invoke, get. Prints FPS.

Usage: python scripts/plain_loop.py VIDEO MODEL [--threads N] [--frames N]

Without ``--threads``, ``num_threads`` is left unset, as the examples leave it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
from ai_edge_litert.interpreter import Interpreter

WARM_UP = 5


def main() -> None:
    """Run the loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    more = {} if options.threads is None else {"num_threads": options.threads}
    interpreter = Interpreter(model_path=str(options.model), **more)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    outputs = [one["index"] for one in interpreter.get_output_details()]
    height, width = given["shape"][1:3]
    capture = cv2.VideoCapture(str(options.video))
    done, began, began_cpu = 0, 0.0, 0.0
    while done < WARM_UP + options.frames:
        ok, picture = capture.read()
        if not ok:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            continue
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        interpreter.set_tensor(given["index"], cv2.resize(rgb, (width, height))[None])
        interpreter.invoke()
        _ = [interpreter.get_tensor(index) for index in outputs]
        done += 1
        if done == WARM_UP:
            began, began_cpu = time.monotonic(), time.process_time()
    seconds = time.monotonic() - began
    cpu = (time.process_time() - began_cpu) / options.frames
    print(f"{options.frames / seconds:.3f} {cpu:.6f}")


if __name__ == "__main__":
    main()
