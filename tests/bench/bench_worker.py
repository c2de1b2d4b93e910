"""Lines 4 and 7: landing and windows at once in one process on one core, against the naive way; memory at overload."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from load import TraceLoad
from naive import COLUMNS, RECORD_COLUMNS, Windows, add_naively
from rows import Row, at_least, at_most, figure, main, median_ratio, quick
from slow_store import slow_clickhouse
from stage_runs import broker, consume, cpu_s, produce, run_ingest

from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate

SPANS = 500
RECORDS = quick(2_400, 520)
"""So many that each row of ours is merged once."""
ROUNDS = quick(3, 1)
LOOK_S, CALM_LOOKS = 0.5, 6
SAME = """
SELECT count() AS items, sum(cityHash64(* EXCEPT stored_at)) AS contents,
       (SELECT sum(cityHash64(* EXCEPT stored_at)) FROM landed_records) AS records
FROM spans
"""
OVERLOAD_RECORDS = quick(2_000, 600)
OVERLOAD_SPANS_A_S = 40_000
"""So slow is the store at overload: a tenth of what windows can take."""
SPAN_BYTES = 520
"""Of a span on its way to ClickHouse."""


class Cost(NamedTuple):
    """CPU time (us) of a span, of the whole process."""

    stored: float
    merged: float
    """With all merges until none is left."""


async def merged(clickhouse: ClickHouse) -> float:
    """Let ClickHouse merge until it merges nothing any more; return the CPU time (s) that took."""
    calm, began_s = 0, cpu_s()
    await clickhouse.command("SYSTEM START MERGES")
    while calm < CALM_LOOKS:
        merges = await clickhouse.command("SELECT count() FROM system.merges")
        calm = 0 if int(merges) else calm + 1
        await asyncio.sleep(LOOK_S)
    return cpu_s() - began_s


async def ours(settings: Settings, clickhouse: ClickHouse, group: str) -> Cost:
    """Return what a span costs in a worker that lands and counts it."""
    await clickhouse.command("SYSTEM STOP MERGES")
    pace = await run_ingest(settings.model_copy(update={"consumer_group": group}), RECORDS, clickhouse=clickhouse)
    return _cost(pace.cpu_s, await merged(clickhouse))


async def naive(settings: Settings, clickhouse: ClickHouse) -> Cost:
    """Return what a span costs, landed and counted the naive way."""
    await clickhouse.command("SYSTEM STOP MERGES")
    windows: Windows = {}
    began_s = cpu_s()
    async for records in consume(settings, RECORDS):
        rows: list[list[Any]] = []
        landed = [add_naively(record, _tenant(record), windows, rows) for record in records]
        await clickhouse.insert_rows("spans", COLUMNS, rows)
        await clickhouse.insert_rows("landed_records", RECORD_COLUMNS, landed)
    used_s = cpu_s() - began_s
    return _cost(used_s, await merged(clickhouse))


def _cost(stored_s: float, merged_s: float) -> Cost:
    each_us = 1e6 / RECORDS / SPANS
    return Cost(stored_s * each_us, (stored_s + merged_s) * each_us)


def _tenant(record: Any) -> str:
    tenant: bytes = dict(record.headers)[TENANT_HEADER]
    return tenant.decode()


async def both_at_once(folder: Path) -> tuple[list[Cost], list[Cost]]:
    """Return the CPU time of a span, ours and naive, round by round; the process has one core.

    Each has a database to itself in each round, so nobody merges what another has inserted. They must hold the same.
    """
    load = TraceLoad(SPANS)
    found: tuple[list[Cost], list[Cost]] = ([], [])
    async with broker(folder, 4) as settings:
        await produce(settings, load.messages(RECORDS))
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        root = await ClickHouse.open(f"chdb://{folder}/clickhouse")
        for turn in range(ROUNDS):
            stores = [await database(root, folder, f"{kind}_{turn}", settings) for kind in ("ours", "naive")]
            found[0].append(await ours(settings, stores[0], f"bench-{turn}"))
            found[1].append(await naive(settings, stores[1]))
            contents = [await store.query(SAME) for store in stores]
            if contents[0] != contents[1]:
                raise RuntimeError(f"not the same is stored: {contents}")
            for store in stores:
                await store.close()
        await root.close()
    return found


async def database(root: ClickHouse, folder: Path, name: str, settings: Settings) -> ClickHouse:
    """Return a new database with our tables."""
    await root.command(f"CREATE DATABASE {name}")
    clickhouse = await ClickHouse.open(f"chdb://{folder}/clickhouse?database={name}")
    await migrate(clickhouse, settings)
    return clickhouse


async def overload(folder: Path) -> float:
    """Return how much memory (MiB) a worker takes that stores all it gets, ten times too slowly."""
    load, bytes_per_s = TraceLoad(SPANS), OVERLOAD_SPANS_A_S * SPAN_BYTES
    async with broker(folder, 4) as settings, slow_clickhouse(folder, bytes_per_s, settings) as clickhouse:
        await produce(settings, (load.message(number) for number in range(OVERLOAD_RECORDS)))
        del load
        return (await run_ingest(settings, OVERLOAD_RECORDS, clickhouse=clickhouse)).peak_rss_mib


def rows() -> Iterator[Row]:
    """Yield the findings."""
    with tempfile.TemporaryDirectory() as folder:
        yield at_most("7. memory of a worker at 10x overload", asyncio.run(overload(Path(folder))), "MiB", 512)
    with tempfile.TemporaryDirectory() as folder:
        own, plain = asyncio.run(both_at_once(Path(folder)))
    for part, what in (("stored", "before merges"), ("merged", "with all merges")):
        own_us, plain_us = ([getattr(cost, part) for cost in costs] for costs in (own, plain))
        yield figure(f"4. landing and windows at once, CPU of a span {what}", statistics.median(own_us), "us")
        yield figure(f"4. the naive way: parse, dictionaries, column lists, {what}", statistics.median(plain_us), "us")
        yield at_least(f"4. both at once against the naive way, {what}", median_ratio(plain_us, own_us), "x", 6)


if __name__ == "__main__":
    main(rows)
