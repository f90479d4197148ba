"""Write frames and the description of libcamera's virtual camera into a folder.

Usage: python tests/e2e/virtual_camera.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from appliance.sources.pictures.scene import Scene

SIZE = (640, 480)
DESCRIPTION = """\
%YAML 1.1
---
"Virtual0":
  supported_formats: [{width: 640, height: 480, frame_rates: [30, 60]}]
  frames: {path: "/opt/frames/"}
  location: "CameraLocationFront"
  model: "virtual"
"""


def main() -> None:
    """Write 0.jpg, 1.jpg and virtual.yaml."""
    folder = Path(sys.argv[1])
    (folder / "frames").mkdir(parents=True)
    (folder / "virtual.yaml").write_text(DESCRIPTION)
    scene = Scene(*SIZE, seed=1)
    for number in range(2):
        picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        scene.render(2.0 * number, picture)
        cv2.imwrite(str(folder / f"frames/{number}.jpg"), picture)


if __name__ == "__main__":
    main()
