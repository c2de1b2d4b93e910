"""`make bench` runs every `bench_*.py` by itself: one that wants to be told something ends the run."""

from __future__ import annotations

from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "bench").glob("bench_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_benchmark_runs_without_arguments(file: Path) -> None:
    """What needs some is a simulation, and has another name."""
    assert "sys.argv" not in file.read_text()
