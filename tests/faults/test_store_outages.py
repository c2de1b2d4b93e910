"""Stores that are away, slow, or cut off after they did what was asked: nothing is lost, doubled, or kept in memory.

Every connection of the worker goes through a proxy; the producer and the test have their own.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fault_proxy import FaultProxy, Mode
from fleet import Fleet, Worker
from ledger import Ledger
from numbered_load import Load
from pydantic import SecretStr
from report import Report
from trial import Gate, Trial, produce

from schemas.settings import Settings
from sinks.kafka.topics import ensure_topics

STORES = ("postgres", "clickhouse", "redis", "kafka")
CLICKHOUSE_PATIENCE_S = 8
"""After how long without an answer the worker's ClickHouse client gives a statement up; usually 60."""

BACKLOG_CHUNKS = 60
PADDING_BYTES = 500_000
"""Of each message of spans: the backlog is about a hundred times as large as what a chunk would be without."""
GROWTH_MIB = 150.0
"""What the worker may grow by; the backlog is more."""
TRIES = 3
SLOW_BYTES_PER_S = {"clickhouse": 200_000.0, "postgres": 20_000.0, "redis": 50_000.0, "kafka": 300_000.0}


@dataclass(frozen=True)
class Proxied:
    """Settings whose stores are behind proxies, the proxies by store, and the settings without them."""

    settings: Settings
    direct: Settings
    proxies: dict[str, FaultProxy]


@pytest.fixture
async def proxied(one_broker: Settings) -> AsyncIterator[Proxied]:
    """Put a proxy before each store."""
    dsn = {
        "clickhouse": f"{one_broker.clickhouse_dsn.get_secret_value()}&send_receive_timeout={CLICKHOUSE_PATIENCE_S}",
        "postgres": one_broker.postgres_dsn.get_secret_value(),
        "redis": one_broker.redis_url.get_secret_value(),
        "kafka": f"kafka://{one_broker.kafka_brokers}",
    }
    ports = {store: port for store in STORES if (port := urlsplit(dsn[store]).port)}
    async with AsyncExitStack() as closing:
        proxies = {
            store: await closing.enter_async_context(FaultProxy(port, kafka=store == "kafka"))
            for store, port in ports.items()
        }
        through = {
            store: text.replace(f"127.0.0.1:{ports[store]}", f"127.0.0.1:{proxies[store].port}")
            for store, text in dsn.items()
        }
        changes = {
            "clickhouse_dsn": SecretStr(through["clickhouse"]),
            "postgres_dsn": SecretStr(through["postgres"]),
            "redis_url": SecretStr(through["redis"]),
            "kafka_brokers": f"127.0.0.1:{proxies['kafka'].port}",
        }
        yield Proxied(one_broker.model_copy(update=changes), one_broker, proxies)


async def until_worked_off(worker: Worker) -> None:
    """Wait until a worker has no raw record left to take."""
    heard = worker.heard
    await worker.until(lambda told: told.heard > heard + 1 and told.last["ready"] and told.last["raw_lag"] == 0)
    assert worker.ended is None, worker.tail()


async def away(proxy: FaultProxy, mode: Mode, store: str, worker: Worker) -> None:
    """Take the store away until the worker has noticed."""
    noticed = worker.last["retries"].get(store, 0)
    await proxy.set(mode)
    await worker.until(lambda told: told.last["retries"].get(store, 0) > noticed)
    await proxy.set(Mode.PASS)


def is_request(store: str) -> Callable[[bytes], bool]:
    """Tell what to cut after: an insert, a statement, a command, a Kafka produce request (API key 0)."""
    return {
        "clickhouse": lambda request: b"INSERT INTO" in request,
        "kafka": lambda request: request[4:6] == b"\0\0",
    }.get(store, lambda _: True)


async def cut(proxy: FaultProxy, store: str) -> None:
    """Drop two answers after the store has done what was asked."""
    cuts = proxy.cuts
    await proxy.set(Mode.CUT, cuts=2, when=is_request(store))
    await proxy.until_cuts(cuts + 2)


@pytest.mark.timeout(900)
async def test_outages_of_every_store_lose_and_double_nothing(proxied: Proxied, fleet: Fleet, tmp_path: Path) -> None:
    """While telemetry flows, each store refuses, is cut off after it did what was asked, falls silent, is slow."""
    await ensure_topics(proxied.direct)
    load = Load("acme", 4 * len(STORES) + 1, proxied.direct.partitions)
    trial = Trial(proxied.direct, load, fleet, tmp_path)
    worker = await fleet.start(proxied.settings)
    chunks = itertools.count(2)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        producing = asyncio.create_task(produce(proxied.direct, load, ledger, trial.gate))
        await trial.gate.open_to(1)
        await worker.until_ready()
        for store in STORES:
            proxy = proxied.proxies[store]
            await trial.gate.open_to(next(chunks))
            await away(proxy, Mode.REFUSE, store, worker)
            await trial.gate.open_to(next(chunks))
            await cut(proxy, store)
            await trial.gate.open_to(next(chunks))
            await away(proxy, Mode.BLACKHOLE, store, worker)
            await proxy.set(Mode.DELAY, delay_s=0.3)
            await trial.gate.open_to(next(chunks))
        for store, proxy in proxied.proxies.items():
            await proxy.set(Mode.THROTTLE, bytes_per_s=SLOW_BYTES_PER_S[store])
        await trial.gate.open_all()
        await producing
        outcome = await trial.look(ledger, worker)
    await worker.kill()
    assert not outcome.pane_differences, outcome.shown
    assert (outcome.account.lost, outcome.account.doubled) == (0, 0), outcome.account.examples


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


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_backlog_is_worked_off_twice_as_fast_as_it_came_and_is_not_held_in_memory(
    proxied: Proxied, fleet: Fleet, tmp_path: Path, faults_report: Report
) -> None:
    """With a third of the worker's speed as input, ClickHouse goes away until much is waiting, and comes back."""
    await ensure_topics(proxied.direct)
    load = Load("acme", 10_000, proxied.direct.partitions, padding_bytes=PADDING_BYTES)
    gate = Gate()
    worker = await fleet.start(proxied.settings)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        producing = asyncio.create_task(produce(proxied.direct, load, ledger, gate))
        await gate.open_to(10)
        await gate.until_passed(10)
        await until_worked_off(worker)
        ratio, opened, grown_mib = 0.0, 10, 0.0
        for _ in range(TRIES):
            began_s = time.monotonic()
            await gate.open_to(opened + 20)
            await gate.until_passed(opened + 20)
            await until_worked_off(worker)
            chunk_s = (time.monotonic() - began_s) / 20
            before_mib = worker.rss_mib
            ratio, opened, grown_mib = await _outage(proxied.proxies["clickhouse"], worker, gate, opened + 20, chunk_s)
            if ratio >= 2.0:
                break
        producing.cancel()
        await asyncio.gather(producing, return_exceptions=True)
    await worker.kill()
    faults_report.add(
        test="outage", store="clickhouse", catch_up_to_input=round(ratio, 2), rss_growth_mib=round(grown_mib)
    )
    assert ratio >= 2.0
    assert grown_mib < GROWTH_MIB, f"{before_mib:.0f} MiB before"


async def _outage(
    proxy: FaultProxy, worker: Worker, gate: Gate, opened: int, chunk_s: float
) -> tuple[float, int, float]:
    """Let a backlog grow at a third of the worker's speed, and work it off while input goes on.

    Returns the speed of working off as a multiple of the input's, the chunks opened, and the growth in memory (MiB).
    """
    before_mib = worker.rss_mib
    await proxy.set(Mode.REFUSE)
    pace = Pace(gate, 3 * chunk_s, opened)
    await gate.until_passed(opened + BACKLOG_CHUNKS)
    most_mib = worker.rss_mib
    returned_s, waiting_from = time.monotonic(), opened
    await proxy.set(Mode.PASS)
    await until_worked_off(worker)
    worked_off, took_s = pace.opened - waiting_from, time.monotonic() - returned_s
    await pace.stop()
    return worked_off * 3 * chunk_s / took_s, pace.opened, max(most_mib, worker.rss_mib) - before_mib
