"""The live demo, as ``make demo`` runs it: two faults, one after the other, each found and named first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.command import command, environment, free_port, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PATIENCE_S = 1400.0


@pytest.mark.timed
async def test_the_demo_finds_a_delay_and_a_bad_release_and_names_them_first(tmp_path: Path) -> None:
    """`incidentscope demo --once` ends with status 0 only if every fault was found, named first and told."""
    output = tmp_path / "demo.log"
    env = environment(tmp_path / "data", "demo", free_port())
    demo = await command("demo", "--once", "--fault", "delay,deploy-errors", env=env, output=output)
    try:
        async with asyncio.timeout(PATIENCE_S):
            status = await demo.wait()
    finally:
        await stop(demo)
    said = output.read_text()
    assert status == 0, said
    assert said.count("PASSED  delay") >= 1, said
    assert said.count("PASSED  deploy-errors") >= 1, said


async def test_an_unknown_fault_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """The message names the faults there are."""
    output = tmp_path / "demo.log"
    demo = await command(
        "demo", "--once", "--fault", "flood", env=environment(tmp_path / "data", "demo", free_port()), output=output
    )
    assert await demo.wait() == 2
    assert "choose from: delay" in output.read_text()
