"""Write the generated documents, or with ``--check`` say which are out of date.

Usage: python scripts/generate_docs.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from appliance.config.example import default_toml
from scripts.documents.accelerators import accelerators_markdown
from scripts.documents.configuration import configuration_markdown
from scripts.documents.mqtt import mqtt_markdown

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = {
    "config/appliance.toml": default_toml,
    "docs/configuration.md": configuration_markdown,
    "docs/mqtt.md": mqtt_markdown,
    "docs/accelerators.md": lambda: accelerators_markdown(
        json.loads((ROOT / "docs/measured_accelerators.json").read_text()),
        (ROOT / "docs/examples/opencv_dnn.py").read_text(),
    ),
}


def main() -> int:
    """Return 1 if a document is out of date and only checking was asked."""
    stale = []
    for name, make in DOCUMENTS.items():
        path = ROOT / name
        if not path.exists() or path.read_text() != make():
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(make())
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
