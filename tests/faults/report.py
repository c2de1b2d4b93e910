"""``build/faults.json``: what each run of the fault suite came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[2] / "build" / "faults.json"


class Report:
    """A list of runs that is on disk after each of them; the first one replaces what was there before."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._runs: list[dict[str, Any]] = []

    def add(self, **run: Any) -> None:
        """Add a run: broker, kills, produced, stored, lost, doubled, and what else is to be known of it."""
        self._runs.append(run)
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self._runs, indent=1) + "\n")
