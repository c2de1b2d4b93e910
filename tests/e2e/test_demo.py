"""The live demo, as ``make demo`` runs it: two faults, one after the other, each found and named first."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.embedded.ports import any_free_port
from tests.e2e.command import command, environment, stop

FAULTS = ("delay", "deploy-errors")
PATIENCE_S = 1400.0
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE_S + 100)]


async def test_the_demo_finds_a_delay_and_a_bad_release_and_names_them_first(tmp_path: Path) -> None:
    """`incidentscope demo --once` ends with status 0 only if every fault was found, named first and told.

    The shop is measured while it runs, and other tests run beside it: a hiccup of the machine at the wrong moment is
    real trouble too. So a fault that was missed is told once more, by a new demo, with a warning.
    """
    status, said = await _demo(FAULTS, tmp_path / "first.log")
    missed = _missed(FAULTS, said)
    assert (status == 0) == (not missed), said
    if missed:
        warnings.warn(f"told once more:\n{said}", stacklevel=1)
        status, said = await _demo(missed, tmp_path / "second.log")
        assert status == 0, said
        assert not _missed(missed, said), said


def _missed(faults: Sequence[str], said: str) -> list[str]:
    return [fault for fault in faults if f"PASSED  {fault}" not in said]


async def _demo(faults: Sequence[str], output: Path) -> tuple[int, str]:
    """Return the exit status of a demo of these faults, and what it said."""
    env = environment(output.with_suffix(".data"), "demo", any_free_port())
    demo = await command("demo", "--once", "--fault", ",".join(faults), env=env, output=output)
    try:
        async with asyncio.timeout(PATIENCE_S):
            status = await demo.wait()
    finally:
        await stop(demo)
    return status, _text_of(output)


def _text_of(path: Path) -> str:
    return path.read_text(errors="replace")


async def test_an_unknown_fault_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """The message names the faults there are."""
    output = tmp_path / "demo.log"
    demo = await command(
        "demo", "--once", "--fault", "flood", env=environment(tmp_path / "data", "demo", any_free_port()), output=output
    )
    assert await demo.wait() == 2
    assert "choose from: delay" in output.read_text()
