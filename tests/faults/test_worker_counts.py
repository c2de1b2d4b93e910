"""One, two and four workers, who come and go, store what one would, whether input is keyed by trace or not."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from fleet import Fleet, Worker
from ledger import Ledger
from numbered_load import Load
from trial import Trial, produce

from schemas.settings import Settings
from sinks.kafka.topics import ensure_topics

ITEMS = 8_000
SESSION_S = 8.0
"""Long enough for four workers that start at once on two slow cores: who misses it makes all of them start again."""


class Group:
    """Workers of one consumer group."""

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        self._settings = settings
        self._fleet = fleet
        self.workers: list[Worker] = []

    async def have(self, count: int) -> None:
        """Start workers until there are so many, and wait until each has a share of the partitions."""
        while len(self.workers) < count:
            self.workers.append(await self._fleet.start(self._settings))
        share = self._settings.partitions // count
        for worker in self.workers:
            await worker.until(lambda told: told.last["ready"] and told.last["partitions"].get("otel.traces") == share)
            assert worker.ended is None, worker.tail()

    async def lose(self, how: signal.Signals) -> None:
        """End the longest serving worker."""
        worker = self.workers.pop(0)
        worker.signal(how)
        await worker.until_ended()

    async def kill_all(self) -> None:
        """Leave none."""
        while self.workers:
            await self.lose(signal.SIGKILL)


async def outcome_is_the_oracles(trial: Trial, group: Group, *, changing: bool) -> None:
    """Produce the trial's load for the group and compare; ``changing``: two join and two leave meanwhile."""
    with Ledger(trial.folder / f"{trial.load.tenant}.sqlite") as ledger:
        producing = asyncio.create_task(produce(trial.settings, trial.load, ledger, trial.gate))
        if changing:
            quarter = trial.load.chunks // 4
            await trial.gate.open_to(quarter)
            await group.have(2)
            await trial.gate.open_to(2 * quarter)
            await group.have(4)
            await trial.gate.open_to(3 * quarter)
            await group.lose(signal.SIGTERM)
            await group.lose(signal.SIGKILL)
        await trial.gate.open_all()
        await producing
        outcome = await trial.look(ledger, *group.workers)
    assert not outcome.pane_differences, outcome.shown
    assert (outcome.account.lost, outcome.account.doubled) == (0, 0), outcome.account.examples


@pytest.mark.timeout(900)
@pytest.mark.parametrize("keyed", [True, False], ids=["keyed by trace", "not keyed"])
async def test_any_number_of_workers_gives_the_numbers_of_one(
    one_broker: Settings, fleet: Fleet, tmp_path: Path, keyed: bool
) -> None:
    """The same load for 1, 2 and 4 workers, and once more while two join and two leave: each time the oracle's rows."""
    settings = one_broker.model_copy(update={"session_timeout_s": SESSION_S})
    await ensure_topics(settings)
    group = Group(settings, fleet)

    def trial(tenant: str) -> Trial:
        return Trial(settings, Load.of_items(ITEMS, tenant, settings.partitions, keyed=keyed), fleet, tmp_path)

    try:
        for count in (1, 2, 4):
            await group.have(count)
            await outcome_is_the_oracles(trial(f"for-{count}"), group, changing=False)
        await group.kill_all()
        await group.have(1)
        await outcome_is_the_oracles(trial("changing"), group, changing=True)
    finally:
        await group.kill_all()
