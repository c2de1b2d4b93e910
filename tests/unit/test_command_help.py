"""What the commands say of themselves."""

from __future__ import annotations

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
