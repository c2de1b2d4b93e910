"""Line 3, the experiment: spans as Native blocks made by compiled code, against the landing, both into chDB (ADR 21).

Inserts alone, in turn, with merges stopped: CPU seconds of the process. What both store is compared.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from load import BEGIN_NS, TraceLoad
from native_blocks import NativeSpans
from rows import Row, figure, main, median_ratio, quick
from stage_runs import cpu_s

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate

SPANS = 500
ROUNDS = quick(5, 1)
SIZES = (1, 32, 160)
"""Messages an insert."""

SAME = """
SELECT count() AS spans, sum(cityHash64(tenant, service, name, trace_id, span_id, parent_span_id, kind_code,
    status_code, start_time, duration_ns, attributes, attribute_types, resource_attributes, resource_attribute_types,
    kafka_partition, kafka_offset, item, arrival_time)) AS contents
FROM spans
"""


async def land(clickhouse: ClickHouse, rows: list[RawRow]) -> None:
    """Insert as the product does."""
    await RawSink(clickhouse).insert("otel.traces", rows)


async def write(clickhouse: ClickHouse, maker: NativeSpans, rows: list[RawRow]) -> None:
    """Insert a Native block."""
    block, columns = await asyncio.to_thread(maker.block, rows)
    await clickhouse.insert_bytes(f"spans ({', '.join(columns)})", block, "Native")


async def measure(folder: Path) -> dict[int, tuple[list[float], list[float]]]:
    """Return CPU seconds of landing and of writing by size of insert, round by round."""
    root = await ClickHouse.open(f"chdb://{folder}")
    stores = []
    for name in ("landed", "written"):
        await root.command(f"CREATE DATABASE {name}")
        stores.append(await ClickHouse.open(f"chdb://{folder}?database={name}"))
        await migrate(stores[-1])
    await root.command("SYSTEM STOP MERGES")
    messages, maker = TraceLoad(SPANS).messages(max(SIZES)), NativeSpans(max(SIZES) * SPANS, max(SIZES) * 300_000)
    contenders = (partial(land, stores[0]), partial(write, stores[1], maker))
    found: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SIZES}
    offset = 0
    for turn in range(ROUNDS + 1):
        for size in SIZES:
            rows = [RawRow("bench", 0, offset + number, messages[number], BEGIN_NS) for number in range(size)]
            offset += size
            for insert, spent in zip(contenders, found[size], strict=True):
                began_s = cpu_s()
                await insert(rows)
                if turn:
                    spent.append(cpu_s() - began_s)
    landed, written = [await store.query(SAME) for store in stores]
    if landed != written:
        raise RuntimeError(f"not the same is stored: {landed} and {written}")
    for store in (*stores, root):
        await store.close()
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder) / "clickhouse"))
    for size, (landed, written) in found.items():
        ratio = median_ratio(landed, written)
        yield figure(f"3. experiment: Native blocks against the landing, {size} messages an insert", ratio, "x")


if __name__ == "__main__":
    main(rows)
