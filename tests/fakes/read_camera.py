"""Read a camera as the appliance does, in a process of its own: for tests that preload a device.

Prints one JSON line: frames and failures, the last frame's colours in its four quarters (BGR),
where the stamps come from, and what was logged.
"""

from __future__ import annotations

import json
import logging
import sys

from appliance.errors import FrameError
from tests.helpers import source


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(record.getMessage())


def main(path: str, reads: int, opens: int, options: str) -> None:
    """Open the camera ``opens`` times, read ``reads`` frames each time."""
    log = Lines()
    logging.getLogger().addHandler(log)
    logging.getLogger().setLevel(logging.INFO)
    camera = source(f"v4l2:{path}", width=640, height=480, fps=120, options=json.loads(options))
    frames = failures = 0
    quarters: list[list[float]] = []
    origins = set()
    size = (0, 0)
    for _ in range(opens):
        camera.open()
        for _ in range(reads):
            try:
                frame = camera.read()
            except FrameError as error:
                log.lines.append(str(error))
                failures += 1
                continue
            assert frame is not None
            frames += 1
            size = frame.width, frame.height
            origins.add(frame.origin.value)
            half_height, half_width = frame.height // 2, frame.width // 2
            quarters = [
                frame.planes[0][y : y + half_height, x : x + half_width]
                .mean((0, 1))
                .round(1)
                .tolist()
                for y in (0, half_height)
                for x in (0, half_width)
            ]
        camera.close()
    found = {"frames": frames, "failures": failures, "quarters": quarters, "size": size}
    line = json.dumps({**found, "origins": sorted(origins), "log": log.lines})
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
