"""One trial: telemetry is produced while workers are struck; afterwards the account and the panes are looked at.

::

    Producing ──▶ broker ──▶ worker ⚡ worker ⚡ worker … ──▶ ClickHouse
        │ as far as the gate is open                            │
        └──▶ ledger ───────────────── Account ◀─────────────────┤
             load ──▶ oracle ───────── panes ◀──────────────────┘
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fleet import Fleet, Worker
from group import evict_all
from ledger import NUMBERS, Account, Ledger, settle, stored_numbers
from made_spans import MS_NS
from numbered_load import Load, Numbered
from pane_oracle import Key, differences, expected_rows, stored_rows
from schedule import Kind, Moment, Strike

from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.kafka.producer import Ack, Producer
from sinks.kafka.topics import ensure_topics
from streams.windows import WindowConfig

END_PATIENCE_S = 600.0
LANDING_PATIENCE_S = 60.0
LOOK_S = 0.3
MUCH_LATER = 20
"""A failpoint that was not reached after so many times the records of a strike will not be: kill instead."""


class Gate:
    """How many chunks may have been sent by now."""

    def __init__(self, open_to: int = 0) -> None:
        self._open_to = open_to
        self.passed = 0
        self._changed = asyncio.Condition()

    async def open_to(self, chunks: int) -> None:
        """Let chunks through, up to this number."""
        async with self._changed:
            self._open_to = max(self._open_to, chunks)
            self._changed.notify_all()

    async def open_all(self) -> None:
        """Let everything through."""
        await self.open_to(2**31)

    async def wait(self, chunk: int) -> None:
        """Wait until this chunk may go."""
        async with self._changed:
            self.passed = chunk
            self._changed.notify_all()
            await self._changed.wait_for(lambda: chunk < self._open_to)

    async def until_passed(self, chunks: int) -> None:
        """Wait until so many chunks were acknowledged."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.passed >= chunks)


async def produce(settings: Settings, load: Load, ledger: Ledger, gate: Gate) -> None:
    """Send the load as the gate allows, and enter in the ledger what is acknowledged."""
    async with Producer(settings) as producer:
        for chunk, messages in enumerate(load.sent()):
            await gate.wait(chunk)
            acks = await asyncio.gather(*(_delivered(producer, numbered) for numbered in messages))
            ledger.enter(zip(messages, acks, strict=True))


async def _delivered(producer: Producer, numbered: Numbered) -> Ack:
    message = numbered.message
    while True:
        try:
            return await producer.send(message.topic, message.value, message.key, message.headers, message.partition)
        except StoreUnavailable:
            await asyncio.sleep(LOOK_S)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial."""

    account: Account
    pane_differences: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The first differences, a line each."""
        return "\n".join(sorted(self.pane_differences)[:20])


class Trial:
    """A load, its ledger, and the workers that read it; a ``saboteur`` takes a guard away in each of them."""

    def __init__(
        self,
        settings: Settings,
        load: Load,
        fleet: Fleet,
        folder: Path,
        saboteur: str = "",
        patience_s: float = END_PATIENCE_S,
    ) -> None:
        self.settings = settings
        self.load = load
        self.fleet = fleet
        self.folder = folder
        self.saboteur = saboteur
        self.patience_s = patience_s
        self.gate = Gate()

    async def run(self, strikes: Sequence[Strike]) -> Outcome:
        """Produce, strike, let a last worker finish, and look at what is stored."""
        await ensure_topics(self.settings)
        with Ledger(self.folder / "ledger.sqlite") as ledger:
            producing = asyncio.create_task(produce(self.settings, self.load, ledger, self.gate))
            for number, strike in enumerate(strikes, 1):
                await self.gate.open_to(self.load.chunks * number // (len(strikes) + 1))
                await self.strike(strike)
            await self.gate.open_all()
            await producing
            last = await self.start()
            outcome = await self.look(ledger, last)
            await last.kill()
        return outcome

    async def look(self, ledger: Ledger, *workers: Worker) -> Outcome:
        """Wait until everything is there, and compare what is stored with ledger and oracle."""
        config = WindowConfig.from_settings(self.settings)
        expected = await asyncio.to_thread(expected_rows, self.load, config)
        clickhouse = ClickHouse(self.settings.clickhouse_dsn.get_secret_value())
        try:
            await until_final(clickhouse, self.load, expected, workers, self.patience_s)
            await until_landed(clickhouse, self.load, sum(len(numbers) for _, numbers in ledger.records()))
            found = await stored_rows(clickhouse, self.load)
            stored = await stored_numbers(clickhouse, self.load.tenant)
        finally:
            await clickhouse.close()
        return Outcome(settle(ledger, stored), differences(found, expected))

    async def start(self, failpoint: str = "") -> Worker:
        """Start a worker; it is not ready yet."""
        return await self.fleet.start(self.settings, failpoint=failpoint, saboteur=self.saboteur)

    async def strike(self, strike: Strike) -> None:
        """Let a worker live until the strike, and return when it is dead."""
        worker = await self.start(strike.failpoint)
        await worker.until(lambda told: reached(told, strike))
        if strike.kind is Kind.STOP:
            await self._stop(worker, strike)
        elif strike.kind is Kind.END:
            worker.signal(signal.SIGTERM)
            await worker.until_ended()
        else:
            await worker.kill()
        if strike.leaves:
            await evict_all(self.settings)

    async def _stop(self, worker: Worker, strike: Strike) -> None:
        """Let another take over while the worker stands still; then both run, and one after the other is killed."""
        worker.signal(signal.SIGSTOP)
        other = await self.start()
        await other.until(lambda told: told.last["ready"] and told.last["handled"] >= strike.records)
        worker.signal(signal.SIGCONT)
        first, last = (other, worker) if strike.old_survives else (worker, other)
        heard = worker.heard
        await worker.until(lambda told: told.heard > heard)
        await first.kill()
        handled = last.last["handled"]
        await last.until(lambda told: told.last["ready"] and told.last["handled"] > handled)
        await last.kill()


def reached(worker: Worker, strike: Strike) -> bool:
    """Tell whether a worker is where the strike wants it."""
    if strike.moment is Moment.STARTING:
        return worker.heard > 0
    if strike.moment is Moment.ASSIGNED:
        return bool(worker.last["partitions"])
    records = strike.records if strike.kind is not Kind.FAILPOINT else MUCH_LATER * strike.records
    return bool(worker.last["ready"] and worker.last["handled"] >= records)


async def until_final(
    clickhouse: ClickHouse, load: Load, expected: Iterable[Key], workers: Sequence[Worker], patience_s: float
) -> None:
    """Wait until all expected panes of services are final in the store, or patience ends: then the comparison tells."""
    waiting = {(service, start_ns // MS_NS) for kind, start_ns, service, *_ in expected if kind == "service"}
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while waiting:
                for worker in workers:
                    assert worker.ended is None, worker.tail()
                await asyncio.sleep(LOOK_S)
                waiting -= await _final(clickhouse, load)


async def _final(clickhouse: ClickHouse, load: Load) -> set[tuple[str, int]]:
    rows = await clickhouse.query(
        "SELECT service, toUnixTimestamp64Milli(pane_start) AS start_ms FROM service_panes FINAL"
        " WHERE tenant = {tenant:String} AND final",
        {"tenant": load.tenant},
    )
    return {(row["service"], row["start_ms"]) for row in rows}


async def until_landed(clickhouse: ClickHouse, load: Load, items: int) -> None:
    """Wait until the store has so many items, or gives no sign of getting them any more: then the account tells."""
    counts = " + ".join(
        f"(SELECT count() FROM {table} WHERE tenant = {{tenant:String}})" for table, _ in NUMBERS.values()
    )
    with suppress(TimeoutError):
        async with asyncio.timeout(LANDING_PATIENCE_S):
            while await clickhouse.command(f"SELECT {counts}", {"tenant": load.tenant}) < items:  # noqa: ASYNC110  # a store's
                await asyncio.sleep(LOOK_S)
