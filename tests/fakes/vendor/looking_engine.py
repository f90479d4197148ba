"""An engine that says whether its interpreter finds a module of the one that started it."""

from __future__ import annotations

import importlib.util
from typing import Any


class Engine:
    def open(self, model: Any, threads: int, options: Any) -> dict[str, Any]:
        found = importlib.util.find_spec("only_ours") is not None
        placement = "with only_ours" if found else "without"
        return {"outputs": [], "runtime": "looking", "placement": placement}

    def infer(self, picture: Any, outputs: Any) -> None: ...

    def close(self) -> None: ...
