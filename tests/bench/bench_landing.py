"""Line 3: from Kafka into ClickHouse, everything stored, wall clock: bytes forwarded, flattened by ClickHouse in SQL.

A plain consumer and the raw sink, nothing else: what landing costs by itself. 80 messages of 500 items an insert,
chDB on MergeTree, the embedded broker on the same machine.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from load import BEGIN_NS, TraceLoad
from other_load import logs, metrics
from rows import Row, at_least, main, quick
from stage_runs import broker, consume, produce

from schemas.settings import Settings
from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate

ITEMS = 500
RECORDS = quick(800, 240)
DISTINCT = 20
AN_INSERT = 80
ROUNDS = quick(3, 1)


def made(make: Callable[[random.Random], bytes]) -> list[bytes]:
    """Return some messages, again and again."""
    chance = random.Random(7)
    distinct = [make(chance) for _ in range(DISTINCT)]
    return [distinct[number % DISTINCT] for number in range(RECORDS)]


async def land(settings: Settings, sink: RawSink, topic: str, turn: int) -> float:
    """Land a whole topic; return items a second, from the end of the first insert to the end of the last."""
    waiting: list[Any] = []
    landed, began_s = -AN_INSERT, 0.0
    async for records in consume(settings, RECORDS, topic):
        waiting += records
        while len(waiting) >= AN_INSERT:
            batch, waiting = waiting[:AN_INSERT], waiting[AN_INSERT:]
            rows = [RawRow("bench", record.partition, record.offset, record.value, BEGIN_NS) for record in batch]
            await sink.insert(topic, rows, token=f"{topic}:{turn}:{landed}")
            began_s = began_s or time.perf_counter()
            landed += AN_INSERT
    return landed * ITEMS / (time.perf_counter() - began_s)


async def measure(folder: Path) -> dict[str, float]:
    """Return the median speed by topic."""
    loads = {
        TRACES.name: TraceLoad(ITEMS).messages(RECORDS),
        LOGS.name: made(logs),
        METRICS.name: made(metrics),
    }
    async with broker(folder, 4) as settings:
        clickhouse = await ClickHouse.open(f"chdb://{folder}/clickhouse")
        await migrate(clickhouse, settings)
        sink, found = RawSink(clickhouse), {}
        for topic, values in loads.items():
            await produce(settings, values, topic)
            speeds = [await land(settings, sink, topic, turn) for turn in range(ROUNDS)]
            found[topic] = statistics.median(speeds)
        await clickhouse.close()
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    with tempfile.TemporaryDirectory() as folder:
        speeds = asyncio.run(measure(Path(folder)))
    yield at_least("3. Kafka to ClickHouse: spans", speeds[TRACES.name], "spans/s", 150_000)
    yield at_least("3. Kafka to ClickHouse: log records", speeds[LOGS.name], "records/s", 200_000)
    yield at_least("3. Kafka to ClickHouse: metric points", speeds[METRICS.name], "points/s", 300_000)


if __name__ == "__main__":
    main(rows)
