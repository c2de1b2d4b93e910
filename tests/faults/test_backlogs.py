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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
CHUNK_MIB = 2 * PADDING_BYTES / 2**20
"""Two messages of spans, as a rule."""
GROWTH_MIB = 280.0
"""What the worker may grow by when it works at full speed for the first time: five batches of 16 MiB and two inserts of
40 MiB of a topic, and what decoding makes of them. The backlogs of stores that are away are more (ADR 66)."""
TIMES_THE_INPUT = 2.0
TRIES = 3
CALIBRATION_CHUNKS = 20
USUAL_S = 15.0
"""So long it is looked how far behind the worker is when all is well, while input goes on."""
PATIENCE_S = 900.0
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


class Behind(NamedTuple):
    """How far behind a worker is: acknowledged items that are not stored, and records its stages told one another."""

    items: int
    inner_records: int

    def is_within(self, other: Behind) -> bool:
        """Tell whether it is no farther behind than that."""
        return self.items <= other.items and self.inner_records <= other.inner_records

    def or_farther(self, other: Behind) -> Behind:
        """Return the farther of each."""
        return Behind(max(self.items, other.items), max(self.inner_records, other.inner_records))


AT_REST = Behind(3 * ITEMS_A_CHUNK, 100)
"""What a worker is always behind: batches wait for more, and time is told every second."""


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
    most_mib: float = 0.0

    async def behind(self) -> int:
        """Return how many acknowledged items are not stored yet."""
        counts = " + ".join(
            f"(SELECT count() FROM {table} WHERE tenant = {{tenant:String}})" for table, _ in NUMBERS.values()
        )
        acknowledged = self.ledger.items()
        return acknowledged - int(await self.clickhouse.command(f"SELECT {counts}", {"tenant": self.load.tenant}))

    async def look(self) -> Behind:
        """Wait a little, look at the worker's memory, and say how far behind it is."""
        await asyncio.sleep(LOOK_S)
        assert self.worker.ended is None, self.worker.tail()
        self.most_mib = max(self.most_mib, self.worker.rss_mib)
        return Behind(await self.behind(), int(self.worker.last["inner_lag"]))

    async def until(self, usual: Behind) -> None:
        """Wait until the worker is no farther behind than usual."""
        async with asyncio.timeout(PATIENCE_S):
            while not (await self.look()).is_within(usual):
                pass

    async def chunk_s(self) -> float:
        """Measure what the worker takes for a chunk when all is well."""
        began_s = time.monotonic()
        self.opened += CALIBRATION_CHUNKS
        await self.gate.open_to(self.opened)
        await self.gate.until_passed(self.opened)
        await self.until(AT_REST)
        return (time.monotonic() - began_s) / CALIBRATION_CHUNKS

    async def watch(self, seconds: float) -> Behind:
        """Look on for a while; return the farthest that the worker was behind."""
        ends_s, most = time.monotonic() + seconds, AT_REST
        while time.monotonic() < ends_s:
            most = most.or_farther(await self.look())
        return most

    async def outage(self, store: str, kind: str) -> Outage:
        """Let a store fail while input comes at a third of the worker's speed, and see how it is worked off."""
        interval_s = 3 * await self.chunk_s()
        pace, proxy = Pace(self.gate, interval_s, self.opened), self.proxied.proxies[store]
        usual = await self.watch(USUAL_S)
        self.most_mib = before_mib = self.worker.rss_mib
        first = self.gate.passed
        await fail(proxy, store, kind)
        await self.watch(OUTAGE_S[kind])
        waiting, returned_s = await self.behind(), time.monotonic()
        await proxy.set(Mode.PASS)
        await self.until(usual)
        catch_up = (self.gate.passed - first) * interval_s / (time.monotonic() - returned_s)
        await pace.stop()
        self.opened = pace.opened
        catch_up = min(AT_ONCE, catch_up) if waiting > usual.items else AT_ONCE
        return Outage(catch_up, waiting / ITEMS_A_CHUNK * CHUNK_MIB, self.most_mib - before_mib)

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
                found[kind] = await run.outage(store, kind)
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
