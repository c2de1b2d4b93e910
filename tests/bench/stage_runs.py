"""Ingest as a worker runs it, on a real broker, with the stores of one's choice; and how fast it went."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from load import BEGIN_NS
from pydantic import SecretStr

from deploy.embedded import EmbeddedStack
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.kafka.producer import Producer
from sinks.kafka.topics import ensure_topics
from sinks.postgres.checkpoints import Checkpoints
from sinks.postgres.pool import Pool, open_pool
from streams.flat_columns import FLAT_TOPICS, Flat, Flattener
from streams.warming import warm_up
from streams.windows import WindowConfig
from topologies.app import make_app
from topologies.garbage import collect_seldom
from topologies.ingest import Ingest
from topologies.parcels import size_of
from topologies.preparing import migrate_postgres
from topologies.progressing import ClosedTable
from topologies.ticks import Ticker
from topologies.wiring import Wiring

HEADERS = [(TENANT_HEADER, b"acme")]
PATIENCE_S = 240.0

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # the table is the output


class NoClickHouse:
    """Takes the accounts and keeps nothing."""

    async def insert_rows(self, *_: Any, **__: Any) -> None:
        """Take rows."""


class NoSink:
    """Stores nothing."""

    def prepare(self, *_: Any) -> None:
        """Nothing has to be made ready."""

    async def insert(self, *_: Any) -> None:
        """Forget the rows."""

    async def is_whole(self, *_: Any) -> bool:
        """Nothing is missing of nothing."""
        return True


@dataclass
class Stores:
    """Stands where `sinks.stores.Stores` stands; nothing here asks Redis."""

    producer: Producer
    clickhouse: Any
    postgres: Pool
    redis: Any = None


@dataclass(frozen=True)
class Pace:
    """What a run did between the end of its first batch and the end of its last full one."""

    records: int
    seconds: float
    cpu_s: float
    broker_cpu_s: float
    """Of the broker, which shares the machine; messages were made and sent before."""
    peak_rss_mib: float
    """Of the process, above what it was when the first batch came."""


def flattening() -> dict[str, Callable[[Sequence[bytes]], Flat]]:
    """Return what a worker's sink flattens messages with."""
    return {topic: Flattener(topic).flatten for topic in FLAT_TOPICS}


class MarkingSink(RawSink):
    """Stores in ClickHouse, and tells the stage what is stored: much may be taken and wait."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        super().__init__(clickhouse, flattening())
        self.stage: TimedIngest | None = None

    async def insert(self, topic: str, rows: Sequence[RawRow], *rest: Any) -> None:
        """Store the rows and tell."""
        await super().insert(topic, rows, *rest)
        if self.stage is not None:
            self.stage.mark(len(rows))


class TimedIngest(Ingest):
    """Notes after each batch, or after each insert into a ClickHouse, how many records there were so far, and when."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.stores = False
        self.marks: list[tuple[int, float, float, float]] = []
        self._broker = broker_process(self._wiring.settings)
        self.done = 0
        self.rss_at_start = 0.0
        self.peak_rss = 0.0

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch as ingest does."""
        self.rss_at_start = self.rss_at_start or rss_mib()
        await super().handle(events)
        self.peak_rss = max(self.peak_rss, rss_mib())
        if not self.stores:
            self.mark(sum(size_of(event.message)[0] for event in events))

    def mark(self, records: int) -> None:
        """Note that so many more records are done with."""
        self.done += records
        self.marks.append((self.done, time.perf_counter(), cpu_s(), cpu_s_of(self._broker)))
        self.peak_rss = max(self.peak_rss, rss_mib())

    async def until(self, records: int) -> None:
        """Wait until so many records were taken."""
        while self.done < records:
            if self._wiring.app.failure is not None:
                raise RuntimeError(f"ingest ended: {self._wiring.app.failure}")
            await asyncio.sleep(0.02)

    def pace(self) -> Pace:
        """Return the pace so far. The last batch, which waited in vain for more, does not count; an insert does."""
        begin, end = self.marks[0], self.marks[-2 if len(self.marks) > 2 and not self.stores else -1]
        records, *used = (b - a for a, b in zip(begin, end, strict=True))
        return Pace(int(records), *used, self.peak_rss - self.rss_at_start)


def cpu_s() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def broker_process(settings: Settings) -> Path | None:
    """Return where the kernel tells of the embedded broker of these settings, or None."""
    address = settings.kafka_brokers.encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if address in (process / "cmdline").read_bytes() and b"tansu" in (process / "comm").read_bytes():
                return process
    return None


def cpu_s_of(process: Path | None) -> float:
    """Return the CPU time of another process (proc(5), fields 14 and 15 of ``stat``); 0 of none."""
    if process is None:
        return 0.0
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def rss_mib() -> float:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def nowhere(folder: Path, partitions: int) -> Settings:
    """Return settings with stores that are not there, but for broker and PostgreSQL, which are still to come."""
    dsn = {
        "redis_url": SecretStr("redis://127.0.0.1:1/0"),
        "clickhouse_dsn": SecretStr("clickhouse://127.0.0.1:1/none"),
    }
    return Settings(_env_file=None, data_dir=folder, partitions=partitions).model_copy(update=dsn)


@asynccontextmanager
async def broker(folder: Path, partitions: int) -> AsyncIterator[Settings]:
    """Run an embedded broker with our topics and PostgreSQL with our tables, and nothing else of the stack."""
    async with EmbeddedStack(nowhere(folder, partitions), throwaway=True) as settings:
        await ensure_topics(settings)
        await migrate_postgres(settings)
        yield settings


async def produce(
    settings: Settings, values: Iterable[bytes], topic: str = TRACES.name, codec: str | None = None
) -> int:
    """Send values in turn to the partitions, a second of event time a partition apart; return how many."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_brokers, max_request_size=1 << 25, max_batch_size=1 << 20, linger_ms=5,
        compression_type=codec,
    )  # fmt: skip
    await producer.start()
    try:
        sent, waiting = 0, []
        for value in values:
            when_ms = BEGIN_NS // 1_000_000 + 5_000 + sent * 10
            waiting.append(await producer.send(topic, value, None, sent % settings.partitions, when_ms, HEADERS))
            sent += 1
        await asyncio.gather(*waiting)
        return sent
    finally:
        await producer.stop()


@asynccontextmanager
async def running_ingest(
    settings: Settings, kind: type[TimedIngest] = TimedIngest, sink: Any = None, clickhouse: Any = None
) -> AsyncIterator[TimedIngest]:
    """Run ingest of traces; raw rows go to ``clickhouse``, to another ``sink``, or nowhere."""
    await asyncio.to_thread(warm_up)
    collect_seldom()
    app, producer, pool = make_app(settings), Producer(settings), await open_pool(settings)
    await producer.start()
    stores: Any = Stores(producer, clickhouse or NoClickHouse(), pool)
    closed, windows = ClosedTable(app, settings.partitions), WindowConfig.from_settings(settings)
    panes: Any = None
    wiring = Wiring(app, settings, windows, stores, closed, panes)
    if sink is None:
        sink = NoSink() if clickhouse is None else MarkingSink(clickhouse)
    checkpoints = Checkpoints(pool, settings.consumer_group)
    stage = kind(wiring, TRACES, sink, checkpoints, Ticker(producer, app.assigned, app.lag, 1.0))
    if isinstance(sink, MarkingSink):
        sink.stage, stage.stores = stage, True
    stage.attach()
    app.finalize()
    app.in_worker = True
    running = asyncio.create_task(app.start())
    try:
        yield stage
    finally:
        await app.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await producer.stop()
        await pool.close()


async def run_ingest(settings: Settings, records: int, sink: Any = None, clickhouse: Any = None) -> Pace:
    """Run ingest from the beginning of the traces' topic until it has taken so many records."""
    async with running_ingest(settings, TimedIngest, sink, clickhouse) as stage, asyncio.timeout(PATIENCE_S):
        await stage.until(records)
        return stage.pace()


async def consume(settings: Settings, records: int, topic: str = TRACES.name) -> AsyncIterator[list[Any]]:
    """Give the records of a topic as a plain consumer gets them, poll by poll."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest", enable_auto_commit=False,
        max_partition_fetch_bytes=1 << 23, check_crcs=False,
    )  # fmt: skip
    await consumer.start()
    try:
        seen = 0
        while seen < records:
            polled = await consumer.getmany(timeout_ms=5_000, max_records=64)
            found = [record for part in polled.values() for record in part]
            seen += len(found)
            if not found:
                raise RuntimeError(f"{seen} of {records} records came")
            yield found
    finally:
        await consumer.stop()
