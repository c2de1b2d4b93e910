"""Storing on a channel: several flushes with one insert, and what of it survives a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from checkpoint_table import AwaitedCheckpoints
from faust.types import TP
from stage_bench import Bench
from test_ingest import ACME, BEGIN_NS, RecordingSink, ingest_on, one_span

from schemas.keys import service_key
from schemas.topics import ROLLUPS, TRACES
from sinks.clickhouse.landing import RawRow
from streams.partials import ServicePartial

TRACES_0 = TP(TRACES.name, 0)


@dataclass
class GatedSink(RecordingSink):
    """Begins inserts, and ends them when the gate is open."""

    begun: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def insert(self, topic: str, rows: list[RawRow], token: str, ours: object) -> None:
        """Wait at the gate."""
        self.begun += 1
        await self.gate.wait()
        await super().insert(topic, rows, token, ours)  # type: ignore[arg-type]


def ranges(sink: RecordingSink) -> list[str]:
    """Return the offsets of each insert."""
    return [token.partition("@")[0] for token in sink.tokens]


async def taken(bench: Bench, offset: int) -> None:
    """Wait until the windows have a record."""
    await bench.until(
        lambda: any(
            ServicePartial.decode(value).last_offset == offset
            for value in bench.producer.values(ROLLUPS.name, service_key("acme", "cart"))
        )
    )


@asynccontextmanager
async def one_insert_under_way(bench: Bench, sink: GatedSink) -> AsyncIterator[None]:
    """Run ingest; the first record is on its way into the store, and the next two are in the windows."""
    async with bench.running(ingest_on(bench, sink, AwaitedCheckpoints())):
        for offset in range(3):
            await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
            await taken(bench, offset)
            await bench.until(lambda: sink.begun == 1)
        yield


async def test_what_several_flushes_bring_during_an_insert_is_stored_with_one(tmp_path: Path) -> None:
    """Windows do not wait for the store, and the store is not asked once a flush."""
    bench, sink = Bench(tmp_path), GatedSink()
    async with one_insert_under_way(bench, sink):
        assert bench.app.floors.position(TRACES_0) is None
        sink.gate.set()
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 3)
    assert ranges(sink) == ["otel.traces:0:0-0", "otel.traces:0:1-2"]


async def test_what_waits_at_a_rebalance_is_left_to_the_next_owner(tmp_path: Path) -> None:
    """What is under way is stored; of what waits nothing is, also when the worker has other partitions now."""
    bench, sink = Bench(tmp_path), GatedSink()
    async with one_insert_under_way(bench, sink):
        bench.begin(2)
        sink.gate.set()
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS, partition=1)
        await bench.until(lambda: bench.app.floors.position(TP(TRACES.name, 1)) == 1)
    assert ranges(sink) == ["otel.traces:0:0-0", "otel.traces:1:0-0"]
