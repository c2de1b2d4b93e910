"""Storing on a channel: several flushes with one insert, and what of it survives a rebalance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from checkpoint_table import AwaitedCheckpoints
from faust.types import TP
from stage_bench import Bench
from test_ingest import ACME, BEGIN_NS, TICK, RecordingSink, ingest_on, one_span

from schemas.errors import StoreRejected
from schemas.keys import TENANT_HEADER, service_key
from schemas.topics import DEAD_LETTERS, ROLLUPS, TRACES
from sinks.clickhouse.landing import RawRow
from streams.partials import ServicePartial

TRACES_0 = TP(TRACES.name, 0)
HOUR_NS = 3600 * 1_000_000_000


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


async def taken(bench: Bench) -> int:
    """Give a record, and ticks until the windows have it; return its offset."""
    offset = await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
    while all(
        ServicePartial.decode(value).last_offset != offset
        for value in bench.producer.values(ROLLUPS.name, service_key("acme", "cart"))
    ):
        with suppress(TimeoutError):
            await bench.until(lambda: False, patience_s=0.1)
        await bench.give(TRACES.name, b"", headers=TICK, wall_ns=BEGIN_NS)
    return offset


@asynccontextmanager
async def one_insert_under_way(bench: Bench, sink: GatedSink) -> AsyncIterator[list[int]]:
    """Run ingest; the first record is on its way into the store, and the next two are in the windows: their offsets."""
    async with bench.running(ingest_on(bench, sink, AwaitedCheckpoints())):
        offsets = []
        for _ in range(3):
            offsets.append(await taken(bench))
            await bench.until(lambda: sink.begun == 1)
        yield offsets


async def test_what_several_flushes_bring_during_an_insert_is_stored_with_one(tmp_path: Path) -> None:
    """Windows do not wait for the store, and the store is not asked once a flush."""
    bench, sink = Bench(tmp_path), GatedSink()
    async with one_insert_under_way(bench, sink) as offsets:
        assert bench.app.floors.position(TRACES_0) is None
        sink.gate.set()
        await bench.until(lambda: (bench.app.floors.position(TRACES_0) or 0) > offsets[2])
    assert ranges(sink) == [f"otel.traces:0:{first}-{last}" for first, last in ((0, 0), offsets[1:])]


async def test_what_waits_at_a_rebalance_is_left_to_the_next_owner(tmp_path: Path) -> None:
    """What is under way is stored; of what waits nothing is, also when the worker has other partitions now."""
    bench, sink = Bench(tmp_path), GatedSink()
    async with one_insert_under_way(bench, sink):
        bench.begin(2)
        sink.gate.set()
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS, partition=1)
        await bench.until(lambda: bench.app.floors.position(TP(TRACES.name, 1)) == 1)
    assert ranges(sink) == ["otel.traces:0:0-0", "otel.traces:1:0-0"]


@pytest.mark.parametrize("wall_ns", [2**63 - HOUR_NS, 0, -1_000_000, -(2**80), 1_800_000_000_000_000])
async def test_an_arrival_in_the_future_or_none_is_that_of_the_insert_it_is_in(tmp_path: Path, wall_ns: int) -> None:
    """The token names one clock for all batches of the insert, and whoever repeats it has no other.

    Windows take it as of now, too: what the record holds is in its pane.
    """
    bench, sink = Bench(tmp_path), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        await bench.give(TRACES.name, one_span(time.time_ns()), headers=ACME, wall_ns=wall_ns)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 1)
        await bench.until(lambda: bool(bench.producer.values(ROLLUPS.name, service_key("acme", "cart"))))
    assert [row.arrival_ns for row in sink.rows] == [int(sink.tokens[0].partition("@")[2])]


class RefusingSink(RecordingSink):
    """Takes nothing."""

    async def insert(self, topic: str, rows: list[RawRow], token: str, ours: object) -> None:
        """Refuse."""
        raise StoreRejected("cannot parse")

    async def try_out(self, topic: str, rows: list[RawRow]) -> None:
        """Refuse what is good, too."""
        raise StoreRejected("cannot parse")


class FinickySink(RefusingSink):
    """Takes nothing of what is sent, but would take what is good."""

    async def try_out(self, topic: str, rows: list[RawRow]) -> None:
        """Take it."""


async def test_a_store_that_refuses_what_is_good_ends_the_worker(tmp_path: Path) -> None:
    """Until sixteen rows each is a letter; then a good row is tried."""
    bench = Bench(tmp_path)
    async with bench.running(ingest_on(bench, RefusingSink())):
        for _ in range(15):
            await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 15)
        assert (len(bench.producer.values(DEAD_LETTERS.name)), bench.app.failure) == (15, None)
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        with pytest.raises(AssertionError, match="cannot parse"):
            await bench.until(lambda: False)


async def test_what_the_decoder_refuses_counts_towards_the_limits_of_dead_letters(tmp_path: Path) -> None:
    """Nothing of it comes to the store; that is tried when the limit is reached."""
    bench = Bench(tmp_path, dead_letter_in_a_row=40)
    async with bench.running(ingest_on(bench, RefusingSink())):
        for _ in range(40):
            await bench.give(TRACES.name, b"\xff", headers=ACME, wall_ns=BEGIN_NS)
        with pytest.raises(AssertionError, match="a good request of our own"):
            await bench.until(lambda: False)


async def test_what_only_bad_rows_are_refused_for_ends_no_worker(tmp_path: Path) -> None:
    """Far beyond the limits, of two tenants and nobody else: all are letters, and reading goes on."""
    bench = Bench(tmp_path, dead_letter_in_a_row=10)
    async with bench.running(ingest_on(bench, FinickySink())):
        for number in range(60):
            headers = ((TENANT_HEADER, b"evil-%d" % (number % 2)),)
            await bench.give(TRACES.name, one_span(BEGIN_NS), headers=headers, wall_ns=BEGIN_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 60)
    assert (len(bench.producer.values(DEAD_LETTERS.name)), bench.app.failure) == (60, None)


async def test_a_batch_larger_than_an_insert_may_be_is_stored_with_several(tmp_path: Path) -> None:
    """Packed, it was small enough to be taken at once."""
    bench, sink = Bench(tmp_path, insert_bytes=1, flush_interval_s=0.2), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        for _ in range(6):
            await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 6)
    assert ranges(sink) == [f"otel.traces:0:{offset}-{offset}" for offset in range(6)]


async def test_the_next_insert_is_made_ready_while_one_is_stored(tmp_path: Path) -> None:
    """It is known as soon as there is no room for more. What of it no insert can hold comes later."""
    bench, sink = Bench(tmp_path, insert_bytes=1, flush_interval_s=0.2), GatedSink()
    async with bench.running(ingest_on(bench, sink, AwaitedCheckpoints())):
        offsets = []
        for _ in range(3):
            offsets.append(await taken(bench))
            await bench.until(lambda: sink.begun == 1)
        await bench.until(lambda: sink.prepared == [offsets[1:2]])
        assert not sink.rows
        sink.gate.set()
        await bench.until(lambda: (bench.app.floors.position(TRACES_0) or 0) > offsets[2])


@dataclass
class Ended:
    """A consumer that knows where partitions end."""

    end: int

    def highwater(self, partition: TP) -> int:
        """Return the end."""
        return self.end


def test_what_is_taken_and_not_stored_is_lag_but_for_whoever_asks_what_is_unread(tmp_path: Path) -> None:
    """The operator asks what is not stored, the ticker what is not read."""
    app = Bench(tmp_path).app
    app.consumer = Ended(5)  # type: ignore[assignment]
    app.floors.reader("ingest", TRACES.name)
    app.floors.report("ingest", TRACES_0, app.generation(), 2, None)
    assert (app.lag(TRACES_0), app.lag(TRACES_0, taken=5), app.lag(TRACES_0, taken=1)) == (3, 0, 3)
