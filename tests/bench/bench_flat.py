"""Line 3, what flat rows save: landing as a worker does it against everything by SQL, both into chDB (ADR 27).

Inserts alone, in turn, with merges stopped: CPU seconds of the process. What both store is compared.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from load import BEGIN_NS, TraceLoad
from other_load import logs, metrics
from rows import Row, figure, main, median_ratio, quick
from stage_runs import cpu_s, flattening

from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate

ROUNDS = quick(5, 1)
SIZES = (1, 32, 160)
"""Messages of 500 items an insert."""

LOADS: dict[str, tuple[str, Callable[[random.Random], bytes]]] = {
    TRACES.name: ("spans", lambda chance: TraceLoad(500).message(chance.randrange(1000))),
    LOGS.name: ("logs", logs),
    METRICS.name: ("metric_points", metrics),
}
"""By topic: the table, and what makes a message."""


async def measure(folder: Path, topic: str) -> dict[int, tuple[list[float], list[float]]]:
    """Return CPU seconds of both ways by size of insert, round by round."""
    table, make = LOADS[topic]
    root = await ClickHouse.open(f"chdb://{folder}")
    stores, chance = [], random.Random(7)
    for name in ("by_sql", "flat"):
        await root.command(f"CREATE DATABASE {name}")
        stores.append(await ClickHouse.open(f"chdb://{folder}?database={name}"))
        await migrate(stores[-1])
    await root.command("SYSTEM STOP MERGES")
    sinks = (RawSink(stores[0]), RawSink(stores[1], flattening()))
    values = [make(chance) for _ in range(20)]
    found: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SIZES}
    offset = 0
    for turn in range(ROUNDS + 1):
        for size in SIZES:
            rows = [RawRow("bench", 0, offset + number, values[number % 20], BEGIN_NS) for number in range(size)]
            offset += size
            for sink, spent in zip(sinks, found[size], strict=True):
                began_s = cpu_s()
                await sink.insert(topic, rows)
                if turn:
                    spent.append(cpu_s() - began_s)
    same = f"SELECT count() AS items, sum(cityHash64(* EXCEPT (stored_at))) AS contents FROM {table}"
    by_sql, flat = [await store.query(same) for store in stores]
    if by_sql != flat:
        raise RuntimeError(f"not the same is stored: {by_sql} and {flat}")
    for store in (*stores, root):
        await store.close()
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    for topic in LOADS:
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(measure(Path(folder) / "clickhouse", topic))
        for size, (by_sql, flat) in found.items():
            ratio = median_ratio(by_sql, flat)
            yield figure(f"3. flat rows against SQL, {topic}, {size} messages an insert", ratio, "x")


if __name__ == "__main__":
    main(rows)
