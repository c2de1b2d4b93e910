"""Line 6: more workers and partitions; bytes of state a series; a percentile over a day of many stored spans."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from load import BEGIN_NS, TraceLoad
from rows import Row, at_most, figure, main, quick
from stage_runs import broker, nowhere, produce

from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from streams.batch import Messages
from streams.otlp.columns import SPAN_DTYPES, SpanColumns
from streams.panes import PaneFold
from streams.windows import WindowConfig

CHILD = Path(__file__).with_name("worker_child.py")
SPANS = 500
RECORDS = quick(2_000, 800)
GRID = quick([(workers, partitions) for partitions in (4, 8, 16) for workers in (1, 2, 4)], [(1, 4), (2, 4)])
PATIENCE_S = 200.0

SERVICES, OPERATIONS = 50, 200
STORED_SPANS = quick(100_000_000, 2_000_000)
A_CHUNK = 5_000_000
READS = 7


async def grow(settings: Settings, workers: int, folder: Path) -> tuple[float, float]:
    """Run so many workers over the whole topic; return spans a second of all, and the largest resident memory."""
    group = f"bench-{workers}-{time.monotonic_ns()}"
    postgres = settings.postgres_dsn.get_secret_value()
    command = [sys.executable, str(CHILD), settings.kafka_brokers, postgres, str(settings.partitions), group]
    told: list[dict[str, Any]] = [{"done": 0} for _ in range(workers)]
    begins: list[float] = []
    children = [
        await asyncio.create_subprocess_exec(
            *command, str(folder / f"{group}-{number}"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, limit=1 << 20,
        )
        for number in range(workers)
    ]  # fmt: skip

    async def hear(number: int) -> None:
        output = children[number].stdout
        assert output is not None
        while sum(one["done"] for one in told) < RECORDS and (line := await output.readline()):
            if line.startswith(b"{"):
                told[number] = json.loads(line)
                begins.append(told[number]["began_s"])

    hearing = [asyncio.create_task(hear(number)) for number in range(workers)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in hearing:
            task.cancel()
        for child in children:
            child.kill()
            await child.wait()
    ends = [one["ended_s"] for one in told if one["done"]]
    return RECORDS * SPANS / (max(ends) - min(begins)), max(one["rss_mib"] for one in told if one["done"])


def growth() -> Iterator[Row]:
    """Yield throughput and memory by workers and partitions; past two workers there is no core left for them."""
    load = TraceLoad(SPANS)
    for partitions in sorted({partitions for _, partitions in GRID}):
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(_grow_all(Path(folder), load, partitions))
        for workers, (speed, rss) in found.items():
            name = f"6. growth: {workers} workers, {partitions} partitions, {os.cpu_count()} cores with the broker"
            yield figure(name, speed, "spans/s")
            yield figure(f"6. growth: {workers} workers, {partitions} partitions, memory of the largest", rss, "MiB")


async def _grow_all(folder: Path, load: TraceLoad, partitions: int) -> dict[int, tuple[float, float]]:
    async with broker(folder, partitions) as settings:
        await produce(settings, (load.message(number) for number in range(RECORDS)))
        return {workers: await grow(settings, workers, folder) for workers, p in GRID if p == partitions}


def state_bytes() -> float:
    """Return what a series (service, operation, kind) of an open pane takes in the fold, with 16 latencies each."""
    count = SERVICES * OPERATIONS * 16
    each = np.arange(count)
    columns: dict[str, Any] = {name: np.zeros(count, dtype) for name, dtype in SPAN_DTYPES.items()}
    columns |= {"service": each % SERVICES, "operation": SERVICES + each // SERVICES % OPERATIONS}
    columns["span_id"] = columns["trace_lo"] = (each + 1).astype(np.uint64)
    columns["end_ns"] = np.full(count, BEGIN_NS)
    columns["start_ns"] = BEGIN_NS - (1.07 ** (each // (SERVICES * OPERATIONS)) * 3e6).astype(np.int64)
    names = [f"service-{n}" for n in range(SERVICES)] + [f"operation-{n}" for n in range(OPERATIONS)]
    fold = PaneFold("otel.traces/0", WindowConfig())
    spans = SpanColumns(**columns, names=names)
    tracemalloc.start()
    fold.take_spans("acme", spans, Messages.one(count, BEGIN_NS + 10**9, 0))
    fold.flush()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / (SERVICES * OPERATIONS)


async def percentile_ms(folder: Path) -> float:
    """Return how long the 95th percentile of a day of one service takes among many stored spans."""
    clickhouse = await ClickHouse.open(f"chdb://{folder}/clickhouse")
    try:
        await migrate(clickhouse, nowhere(folder, 1))
        for first in range(0, STORED_SPANS, A_CHUNK):
            count = min(A_CHUNK, STORED_SPANS - first)
            await clickhouse.command(f"""
                INSERT INTO spans (tenant, service, start_time, name, kind_code, duration_ns)
                SELECT 'acme', concat('service-', toString(number % 20)),
                       toDateTime64('2026-01-02 00:00:00', 9, 'UTC') + number % 864000 / 10, 'GET /', 2,
                       toUInt64(exp(14 + randNormal(0, 1)))
                FROM numbers({first}, {count})""")  # numbers of this file
        taken = []
        for _ in range(READS):
            began_s = time.perf_counter()
            await clickhouse.query("""
                SELECT quantile(0.95)(duration_ns) AS p95 FROM spans
                WHERE tenant = 'acme' AND service = 'service-7'
                AND start_time >= '2026-01-02 00:00:00' AND start_time < '2026-01-03 00:00:00'""")
            taken.append((time.perf_counter() - began_s) * 1000)
        return statistics.median(taken)
    finally:
        await clickhouse.close()


def rows() -> Iterator[Row]:
    """Yield the findings."""
    yield figure("6. state of a series in an open pane", state_bytes(), "bytes")
    yield from growth()
    with tempfile.TemporaryDirectory() as folder:
        name = f"6. p95 over 24 h of one of 20 services, {STORED_SPANS:,} stored spans"
        yield at_most(name, asyncio.run(percentile_ms(Path(folder))), "ms", 300)


if __name__ == "__main__":
    main(rows)
