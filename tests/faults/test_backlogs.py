"""A store is away, slow, or cuts off every answer while input goes on: what waits is worked off, not held in memory.

::

    input, a third of the worker's speed ────────────────────────────────────────────────────▶
    store      well    │ away: nobody listens; slow; or each answer is dropped │    well again
    stored     ────────┘                                                        └────╱ twice the input at least
    memory     ──────────────────────── within GROWTH_MIB ────────────────────────────────────
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fault_proxy import FaultProxy, Mode
from fleet import Fleet, Worker
from ledger import NUMBERS, Account, Ledger, settle, stored_numbers
from numbered_load import ITEMS_A_CHUNK, Load
from proxied_stores import SLOW_BYTES_PER_S, STORES, Proxied, is_request
from report import Report
from trial import LOOK_S, Gate, produce, until_landed

from sinks.clickhouse.client import ClickHouse
from sinks.kafka.topics import ensure_topics

OUTAGE_S = {"away": 120.0, "slow": 60.0, "cut": 60.0}
"""By kind of outage."""
PADDING_BYTES = 500_000
"""Of each message of spans: the backlog is about a hundred times as large as what a chunk would be without."""
GROWTH_MIB = 150.0
"""What the worker may grow by; the backlog is more."""
TIMES_THE_INPUT = 2.0
TRIES = 3
CALIBRATION_CHUNKS = 20
BEHIND_CHUNKS = 3
"""So much is on its way at any time while input goes on: batches wait for more, and inserts."""
INNER_RECORDS = 100
"""The same of what the stages tell one another."""
PATIENCE_S = 300.0
AT_ONCE = 99.0
"""What is told of a backlog that was never there: the store holds nothing up."""


class Pace:
    """Opens a gate chunk by chunk at a steady pace until it is told to stop."""

    def __init__(self, gate: Gate, interval_s: float, first: int) -> None:
        self.opened = first
        self._task = asyncio.create_task(self._run(gate, interval_s))

    async def _run(self, gate: Gate, interval_s: float) -> None:
        while True:
            self.opened += 1
            await gate.open_to(self.opened)
            await asyncio.sleep(interval_s)

    async def stop(self) -> None:
        """Open no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@dataclass(frozen=True)
class Outage:
    """What came of one: working off as a multiple of the input's speed, and how much memory the worker took for it."""

    catch_up: float
    backlog_mib: float
    growth_mib: float


@dataclass
class Run:
    """A worker behind proxies, what is sent to it and what it has stored."""

    proxied: Proxied
    worker: Worker
    load: Load
    ledger: Ledger
    gate: Gate
    clickhouse: ClickHouse
    opened: int = 0
    most_mib: float = field(default=0.0)

    async def behind(self) -> int:
        """Return how many acknowledged items are not stored yet."""
        counts = " + ".join(
            f"(SELECT count() FROM {table} WHERE tenant = {{tenant:String}})" for table, _ in NUMBERS.values()
        )
        acknowledged = self.ledger.items()
        return acknowledged - int(await self.clickhouse.command(f"SELECT {counts}", {"tenant": self.load.tenant}))

    async def until_worked_off(self) -> None:
        """Wait until nothing waits but what always does, and nothing of what the stages tell one another."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.behind() > BEHIND_CHUNKS * ITEMS_A_CHUNK or self._inner_lag() > INNER_RECORDS:
                await self.look()

    def _inner_lag(self) -> int:
        return int(self.worker.last["inner_lag"])

    async def look(self) -> None:
        """Look at the worker's memory, and wait a little."""
        assert self.worker.ended is None, self.worker.tail()
        self.most_mib = max(self.most_mib, self.worker.rss_mib)
        await asyncio.sleep(LOOK_S)

    async def chunk_s(self) -> float:
        """Measure what the worker takes for a chunk when all is well."""
        began_s = time.monotonic()
        self.opened += CALIBRATION_CHUNKS
        await self.gate.open_to(self.opened)
        await self.gate.until_passed(self.opened)
        await self.until_worked_off()
        return (time.monotonic() - began_s) / CALIBRATION_CHUNKS

    async def outage(self, store: str, kind: str, chunk_s: float) -> Outage:
        """Let a store fail while input comes at a third of the worker's speed, and see how it is worked off."""
        self.most_mib = before_mib = self.worker.rss_mib
        proxy, first = self.proxied.proxies[store], self.opened
        await fail(proxy, store, kind)
        pace, ends_s = Pace(self.gate, 3 * chunk_s, first), time.monotonic() + OUTAGE_S[kind]
        while time.monotonic() < ends_s:
            await self.look()
        waiting, returned_s = await self.behind(), time.monotonic()
        await proxy.set(Mode.PASS)
        await self.until_worked_off()
        self.opened, took_s = pace.opened, time.monotonic() - returned_s
        await pace.stop()
        backlog_mib = waiting / ITEMS_A_CHUNK * self.proxied.settings.partitions * PADDING_BYTES / 2**20
        catch_up = (self.opened - first) * 3 * chunk_s / took_s if waiting > BEHIND_CHUNKS * ITEMS_A_CHUNK else AT_ONCE
        return Outage(min(catch_up, AT_ONCE), backlog_mib, self.most_mib - before_mib)

    async def account(self) -> Account:
        """Wait until all that was sent is stored, and compare."""
        await self.gate.until_passed(self.opened)
        await until_landed(self.clickhouse, self.load, self.ledger.items())
        return settle(self.ledger, await stored_numbers(self.clickhouse, self.load.tenant))


async def fail(proxy: FaultProxy, store: str, kind: str) -> None:
    """Let a store be away, slow, or cut off after it did what was asked, each time."""
    if kind == "away":
        await proxy.set(Mode.REFUSE)
    elif kind == "slow":
        await proxy.set(Mode.THROTTLE, bytes_per_s=SLOW_BYTES_PER_S[store])
    else:
        await proxy.set(Mode.CUT, cuts=1_000_000, when=is_request(store))


@asynccontextmanager
async def running(proxied: Proxied, fleet: Fleet, folder: Path) -> AsyncIterator[Run]:
    """Run a worker that is warm, and a producer that waits at its gate."""
    await ensure_topics(proxied.direct)
    load, gate = Load("acme", 10_000, proxied.direct.partitions, padding_bytes=PADDING_BYTES), Gate()
    worker = await fleet.start(proxied.settings)
    clickhouse = ClickHouse(proxied.direct.clickhouse_dsn.get_secret_value())
    with Ledger(folder / "ledger.sqlite") as ledger:
        producing = asyncio.create_task(produce(proxied.direct, load, ledger, gate))
        run = Run(proxied, worker, load, ledger, gate, clickhouse)
        try:
            await worker.until_ready()
            await run.chunk_s()
            yield run
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)
            await clickhouse.close()
            await worker.kill()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", STORES)
async def test_a_backlog_is_worked_off_twice_as_fast_as_it_came_and_is_not_held_in_memory(
    proxied: Proxied, fleet: Fleet, tmp_path: Path, faults_report: Report, store: str
) -> None:
    """Each store is away, slow, and cuts every answer off, for minutes; all that was acknowledged is stored once."""
    async with running(proxied, fleet, tmp_path) as run:
        found: dict[str, Outage] = {}
        for kind in OUTAGE_S:
            for _ in range(TRIES):
                found[kind] = await run.outage(store, kind, await run.chunk_s())
                if found[kind].catch_up >= TIMES_THE_INPUT:
                    break
            faults_report.add(test="outage", store=store, kind=kind, **rounded(found[kind]))
        account = await run.account()
    assert (account.lost, account.doubled) == (0, 0), account.examples
    assert min(outage.catch_up for outage in found.values()) >= TIMES_THE_INPUT, found
    assert max(outage.growth_mib for outage in found.values()) < GROWTH_MIB, found


def rounded(outage: Outage) -> dict[str, float]:
    """Return what the report tells."""
    return {
        "catch_up_to_input": round(outage.catch_up, 2),
        "backlog_mib": round(outage.backlog_mib),
        "rss_growth_mib": round(outage.growth_mib),
    }
