"""One, two and four workers, who come and go, store what one would, whether input is keyed by trace or not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fleet import Fleet, Worker
from ledger import Ledger
from numbered_load import Load
from trial import Trial, produce

from schemas.settings import Settings
from sinks.kafka.topics import ensure_topics

IS_LONG = bool(os.environ.get("FAULTS_LONG"))
ITEMS = 6_000 if IS_LONG else 1_500
"""Of each tenant in each phase."""
COUNTS = (1, 2, 4) if IS_LONG else (1, 4)
"""Workers at rest; afterwards four become three, two and three again."""
SESSION_S = 8.0
"""Long enough for four workers that start at once on two slow cores: who misses it makes all of them start again."""
PATIENCE_S = 200.0
"""For the panes of one load; a whole run of the test takes a minute."""


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
        least = self._settings.partitions // count
        for worker in self.workers:
            await worker.until(
                lambda told: told.last["ready"] and told.last["partitions"].get("otel.traces", 0) >= least
            )
            assert worker.ended is None, worker.tail()

    async def lose(self, how: signal.Signals) -> None:
        """End the longest serving worker."""
        worker = self.workers.pop(0)
        worker.signal(how)
        await worker.until_ended()


@asynccontextmanager
async def group_of(settings: Settings, fleet: Fleet) -> AsyncIterator[Group]:
    """Give a group without workers; those it has at the end are killed."""
    group = Group(settings, fleet)
    try:
        yield group
    finally:
        while group.workers:
            await group.lose(signal.SIGKILL)


class Producing:
    """The same load for two tenants at once, keyed by trace and not, and what comes of it."""

    def __init__(self, settings: Settings, fleet: Fleet, folder: Path, name: str) -> None:
        loads = [
            Load.of_items(ITEMS, f"{name}-{'keyed' if keyed else 'scattered'}", settings.partitions, keyed=keyed)
            for keyed in (True, False)
        ]
        self._trials = [Trial(settings, load, fleet, folder, patience_s=PATIENCE_S) for load in loads]
        self._ledgers = [Ledger(folder / f"{load.tenant}.sqlite") for load in loads]
        self._tasks = [
            asyncio.create_task(produce(settings, trial.load, ledger, trial.gate))
            for trial, ledger in zip(self._trials, self._ledgers, strict=True)
        ]

    async def go_to(self, share: float) -> None:
        """Send up to this share of the chunks."""
        for trial in self._trials:
            await trial.gate.open_to(round(share * trial.load.chunks))
            await trial.gate.until_passed(round(share * trial.load.chunks))

    async def finish(self, group: Group) -> None:
        """Send the rest, and see that the group has made of it what the oracle says."""
        for trial in self._trials:
            await trial.gate.open_all()
        await asyncio.gather(*self._tasks)
        for trial, ledger in zip(self._trials, self._ledgers, strict=True):
            with ledger:
                outcome = await trial.look(ledger, *group.workers)
            account = outcome.account
            differs = (outcome.pane_differences, account.lost, account.doubled)
            assert differs == ((), 0, 0), f"{account}\n{outcome.shown}"


@pytest.mark.timeout(900)
async def test_any_number_of_workers_gives_the_numbers_of_one(
    one_broker: Settings, fleet: Fleet, tmp_path: Path
) -> None:
    """The same load for one worker, for more, then while one leaves, one is killed, one joins: the oracle's rows."""
    settings = one_broker.model_copy(update={"session_timeout_s": SESSION_S})
    await ensure_topics(settings)
    async with group_of(settings, fleet) as group:
        for count in COUNTS:
            await group.have(count)
            await Producing(settings, fleet, tmp_path, f"for-{count}").finish(group)
        changing = Producing(settings, fleet, tmp_path, "changing")
        await changing.go_to(0.25)
        await group.lose(signal.SIGTERM)
        await changing.go_to(0.5)
        await group.lose(signal.SIGKILL)
        await changing.go_to(0.75)
        await group.have(3)
        await changing.finish(group)
