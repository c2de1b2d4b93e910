"""The yardstick's own work: what is judged first."""

from __future__ import annotations

from pathlib import Path

from topologies.evaluate import largest_first


def test_the_largest_recording_is_begun_first(tmp_path: Path) -> None:
    """Two processes end together, where the longest one does not wait for the others."""
    sizes = {"small": (10,), "large": (30, 30), "middle": (50, 1)}
    for name, files in sizes.items():
        (tmp_path / name).mkdir()
        for number, size_bytes in enumerate(files):
            (tmp_path / name / f"{number}.otlp").write_bytes(bytes(size_bytes))
    folders = largest_first(tmp_path / name for name in sizes)
    assert [folder.name for folder in folders] == ["large", "middle", "small"]
