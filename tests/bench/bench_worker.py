"""Lines 4 and 7: landing and windows at once in one process on one core, against the naive way; memory at overload."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from load import TraceLoad
from naive import COLUMNS, Windows, add_naively
from rows import Row, at_least, at_most, figure, main, quick
from stage_runs import NoSink, broker, consume, cpu_s, produce, run_ingest

from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate

SPANS = 500
RECORDS = quick(1_600, 520)
NAIVE_RECORDS = quick(160, 16)
ROUNDS = quick(3, 1)
LOOK_S, CALM_LOOKS = 0.5, 6
OVERLOAD_RECORDS = quick(2_000, 600)
OVERLOAD_REST_S = 0.012
"""So slow is the store at overload for each message of 500 spans: 40 k spans/s, a tenth of what windows can take."""


async def merged(clickhouse: ClickHouse) -> None:
    """Wait until ClickHouse merges nothing any more: what was inserted before is nobody else's work."""
    calm = 0
    while calm < CALM_LOOKS:
        merges = await clickhouse.command("SELECT count() FROM system.merges")
        calm = 0 if int(merges) else calm + 1
        await asyncio.sleep(LOOK_S)


async def naive(settings: Settings, clickhouse: ClickHouse) -> float:
    """Return the spans of a CPU second of the naive way."""
    windows: Windows = {}
    began_s, spans = cpu_s(), 0
    async for records in consume(settings, NAIVE_RECORDS):
        rows: list[list[Any]] = []
        for record in records:
            add_naively(record.value, windows, rows)
        await clickhouse.insert_rows("spans", COLUMNS, rows)
        spans += len(rows)
    return spans / (cpu_s() - began_s)


async def both_at_once(folder: Path) -> tuple[list[float], list[float]]:
    """Return spans of a CPU second, ours and naive, round by round; the process has one core."""
    load = TraceLoad(SPANS)
    found: tuple[list[float], list[float]] = ([], [])
    async with broker(folder, 4) as settings:
        await produce(settings, load.messages(RECORDS))
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        clickhouse = await ClickHouse.open(f"chdb://{folder}/clickhouse")
        await migrate(clickhouse, settings)
        for run in range(ROUNDS):
            group = settings.model_copy(update={"consumer_group": f"bench-{run}"})
            pace = await run_ingest(group, RECORDS, clickhouse=clickhouse)
            found[0].append(pace.records * SPANS / pace.cpu_s)
            await merged(clickhouse)
            found[1].append(await naive(settings, clickhouse))
            await merged(clickhouse)
        await clickhouse.close()
    return found


async def overload(folder: Path) -> float:
    """Return how much memory (MiB) a worker takes whose store is ten times too slow."""
    load = TraceLoad(SPANS)
    async with broker(folder, 4) as settings:
        await produce(settings, (load.message(number) for number in range(OVERLOAD_RECORDS)))
        del load
        return (await run_ingest(settings, OVERLOAD_RECORDS, NoSink(OVERLOAD_REST_S))).peak_rss_mib


def rows() -> Iterator[Row]:
    """Yield the findings."""
    with tempfile.TemporaryDirectory() as folder:
        yield at_most("7. memory of a worker at 10x overload", asyncio.run(overload(Path(folder))), "MiB", 512)
    with tempfile.TemporaryDirectory() as folder:
        own, plain = asyncio.run(both_at_once(Path(folder)))
    yield figure("4. landing and windows at once, a CPU second of the process", statistics.median(own), "spans")
    yield figure("4. the naive way: parse, dictionaries, column lists", statistics.median(plain), "spans")
    ratio = statistics.median(a / b for a, b in zip(own, plain, strict=True))
    yield at_least("4. both at once against the naive way", ratio, "x", 6)


if __name__ == "__main__":
    main(rows)
