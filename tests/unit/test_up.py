"""What ``incidentscope up`` says on a folder that remembers."""

from __future__ import annotations

from pathlib import Path

from topologies.up import SILENCE_NOTE, was_used


def test_a_folder_is_used_once_a_broker_has_been_in_it(tmp_path: Path) -> None:
    """Before, nothing is remembered that could be missed; afterwards the note names what will be told."""
    assert not was_used(tmp_path / "nothing")
    (tmp_path / "broker").mkdir()
    assert was_used(tmp_path)
    assert "requests stopped" in SILENCE_NOTE
