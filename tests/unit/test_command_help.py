"""What the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from topologies.cli import app

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


@pytest.mark.parametrize("command", [*COMMANDS, "dlq"])
def test_every_command_explains_itself(command: str) -> None:
    """A person can follow it: it says more than its name and its options."""
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160", "TERM": "dumb"})
    assert said.exit_code == 0
    assert len(said.output) > 300


@pytest.mark.parametrize("command", ["evaluate", "fit", "operations"])
def test_a_folder_that_is_no_recording_is_a_message_and_status_2(command: str, tmp_path: Path) -> None:
    """And what to do about it; no traceback."""
    settings = {"INCIDENTSCOPE_DATA_DIR": str(tmp_path / "data")}
    said = CliRunner().invoke(app, [command, str(tmp_path)], env=settings)
    assert (said.exit_code, type(said.exception)) == (2, SystemExit)
    assert "is not a recording" in said.output


def test_figures_that_have_no_folder_to_go_to_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    """Not after minutes."""
    said = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--json", str(tmp_path / "none" / "figures.json")])
    assert said.exit_code == 2
    assert "is no folder" in said.output


def test_faults_are_listed_in_two_columns() -> None:
    """The longest name is no exception."""
    said = CliRunner().invoke(app, ["demo", "--list-faults"]).output.splitlines()
    width = max(len(line.split()[0]) for line in said) + 1
    assert all(line[width - 1] == " " and line[width] != " " for line in said)
