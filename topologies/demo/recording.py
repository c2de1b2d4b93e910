"""What ``incidentscope record`` does: one scenario after the other, each judged by how calm the machine was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.errors import SetupError
from schemas.settings import Settings
from topologies.demo.recorder import record
from topologies.demo.scenarios import SCENARIOS, Scenario
from topologies.demo.steadiness import Minute, Steadiness

SECOND_NS = 10**9


def scenarios() -> dict[str, str]:
    """Return the scenarios by name, each with what happens in it."""
    return {name: "; ".join(step.fault.what for step in one.steps) for name, one in SCENARIOS.items()}


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of these names, all if there are none. Raises `SetupError` for a wrong one."""
    for name in names:
        if name not in SCENARIOS:
            raise SetupError(f"there is no scenario {name!r}", f"choose from: {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in names or SCENARIOS]


async def record_all(settings: Settings, folder: Path, names: Sequence[str], say: Callable[[str], None]) -> bool:
    """Record scenarios to folders of their own below ``folder``; return whether all were recorded in calm.

    One whose folder exists is left alone. One that was disturbed is kept as ``NAME.disturbed``.
    """
    steady = True
    for scenario in chosen(names):
        target = folder / scenario.name
        if target.exists():
            say(f"{scenario.name}: is there already")
            continue
        draft = folder / f"{scenario.name}.draft"
        minutes = await _recorded(settings, scenario, draft, say)
        told = ", ".join(f"{median_ms:.0f} {p95_ms:.0f}" for median_ms, p95_ms in minutes)
        calm = Steadiness.is_calm(minutes)
        draft.rename(target if calm else folder / f"{scenario.name}.disturbed")
        say(f"{scenario.name}: {'recorded' if calm else 'DISTURBED'}; median and p95 of the calm minutes in ms: {told}")
        steady = steady and calm
    return steady


async def _recorded(settings: Settings, scenario: Scenario, draft: Path, say: Callable[[str], None]) -> list[Minute]:
    steadiness, begun_ns = await record(settings, scenario, draft, say)
    return steadiness.measured(begun_ns, begun_ns + round(scenario.calm_s) * SECOND_NS)
