"""Line 3: from Kafka into ClickHouse, everything stored, wall clock: flattened by compiled code, as a worker does it.

A plain consumer and the raw sink, nothing else: what landing costs by itself. As in a worker under load, the next
insert is read and made ready while one is stored. Messages of 500 items, inserts as large
as a worker under load makes them, chDB on MergeTree, the embedded broker on the same machine.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from load import BEGIN_NS, TraceLoad
from other_load import logs, metrics
from rows import Row, at_least, figure, main, quick
from stage_runs import broker, consume, cpu_s, flattening, produce

from schemas.settings import Settings
from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate

ITEMS = 500
INSERTS = quick(6, 3)
"""Of a round; the first is not counted."""

DISTINCT = 20
ROUNDS = quick(3, 1)


class Speed(NamedTuple):
    """Items landed in a second, and with a CPU second of the process (consumer and chDB, merges included)."""

    a_second: float
    a_cpu_second: float


def made(make: Callable[[random.Random], bytes]) -> list[bytes]:
    """Return some messages."""
    chance = random.Random(7)
    return [make(chance) for _ in range(DISTINCT)]


async def land(settings: Settings, sink: RawSink, topic: str, turn: int, an_insert: int) -> Speed:
    """Land a whole topic; return the speed from the end of the first insert to the end of the last."""
    waiting: list[Any] = []
    marks: list[tuple[float, float]] = []
    inserting = asyncio.create_task(asyncio.sleep(0))
    async for records in consume(settings, INSERTS * an_insert, topic):
        waiting += records
        while len(waiting) >= an_insert:
            batch, waiting = waiting[:an_insert], waiting[an_insert:]
            rows = [RawRow("bench", record.partition, record.offset, record.value, BEGIN_NS) for record in batch]
            sink.prepare(topic, rows)
            await inserting
            marks.append((time.perf_counter(), cpu_s()))
            inserting = asyncio.create_task(sink.insert(topic, rows, token=f"{topic}:{turn}:{len(marks)}"))
    await inserting
    marks.append((time.perf_counter(), cpu_s()))
    (began_s, began_cpu_s), (ended_s, ended_cpu_s) = marks[1], marks[-1]
    items = (len(marks) - 2) * an_insert * ITEMS
    return Speed(items / (ended_s - began_s), items / (ended_cpu_s - began_cpu_s))


async def measure(folder: Path) -> dict[str, Speed]:
    """Return the median speeds by topic."""
    loads = {TRACES.name: TraceLoad(ITEMS).messages(DISTINCT), LOGS.name: made(logs), METRICS.name: made(metrics)}
    async with broker(folder, 4) as settings:
        clickhouse = await ClickHouse.open(f"chdb://{folder}/clickhouse")
        await migrate(clickhouse, settings)
        sink, found = RawSink(clickhouse, flattening()), {}
        for topic, values in loads.items():
            an_insert = settings.insert_bytes // len(values[0])
            await produce(settings, (values[number % DISTINCT] for number in range(INSERTS * an_insert)), topic)
            speeds = [await land(settings, sink, topic, turn, an_insert) for turn in range(ROUNDS)]
            found[topic] = Speed(*(statistics.median(each) for each in zip(*speeds, strict=True)))
        await clickhouse.close()
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    with tempfile.TemporaryDirectory() as folder:
        speeds = asyncio.run(measure(Path(folder)))
    aims = {TRACES: ("spans", 150_000), LOGS: ("log records", 200_000), METRICS: ("metric points", 300_000)}
    for topic, (items, aim) in aims.items():
        speed = speeds[topic.name]
        yield at_least(f"3. Kafka to ClickHouse: {items}", speed.a_second, f"{items.split()[-1]}/s", aim)
        yield figure(f"3. Kafka to ClickHouse, a CPU second of the process: {items}", speed.a_cpu_second, items)


if __name__ == "__main__":
    main(rows)
