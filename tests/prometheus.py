"""A real Prometheus that scrapes what a test serves."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Self

import pytest

from tests.helpers import free_port

if TYPE_CHECKING:
    from pathlib import Path


class Prometheus:
    """Runs while the ``with`` lasts; the test skips where there is none.

    Args:
        folder: for its files; relative paths in ``job`` begin here.
        job: list item of ``scrape_configs``.
        seconds: between two scrapes, and for one.
    """

    def __init__(self, folder: Path, job: str, seconds: int = 1) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("no prometheus: scripts/install_prometheus.sh installs it")
        file = folder / "prometheus.yml"
        every = f"global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}"
        file.write_text(f"{every}\nscrape_configs:\n{job}")
        self._port = free_port()
        self._words = [
            program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def query(self, words: str) -> list[float]:
        """Return the values that it has now; none where it does not answer yet."""
        told = urllib.parse.urlencode({"query": words})
        address = f"http://127.0.0.1:{self._port}/api/v1/query?{told}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return [float(one["value"][1]) for one in found]
