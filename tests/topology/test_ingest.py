"""Ingest on a channel: what is stored, what is sent, what waits, and what the floor holds."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from checkpoint_table import AwaitedCheckpoints
from faust.types import TP
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from stage_bench import Bench

from schemas.dead_letters import DeadLetter
from schemas.errors import StoreUnavailable
from schemas.keys import PROGRESS_KEY, TENANT_HEADER, TICK_HEADER, service_key
from schemas.topics import DEAD_LETTERS, ROLLUPS, TRACES
from sinks.clickhouse.landing import RawRow
from streams.partials import ServicePartial
from topologies.envelope import read_envelope
from topologies.ingest import Ingest
from topologies.ticks import Ticker

SECOND_NS = 1_000_000_000
BEGIN_NS = 1_700_000_000 * SECOND_NS
TRACES_0 = TP(TRACES.name, 0)
ACME = ((TENANT_HEADER, b"acme"),)
TICK = ((TICK_HEADER, b"1"),)


@dataclass
class RecordingSink:
    """Keeps raw rows; refuses while ``away`` is positive."""

    rows: list[RawRow] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    prepared: list[list[int]] = field(default_factory=list)
    away: int = 0

    def prepare(self, _topic: str, rows: list[RawRow]) -> None:
        """Note what the next insert will be."""
        self.prepared.append([row.offset for row in rows])

    async def insert(self, topic: str, rows: list[RawRow], token: str, ours: Container[int]) -> None:
        """Keep the rows of our partitions."""
        assert all(row.partition in ours for row in rows)
        assert topic == TRACES.name
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.rows += rows
        self.tokens.append(token)

    async def is_whole(self, topic: str, rows: list[RawRow]) -> bool:
        """Look for the rows."""
        return all(row in self.rows for row in rows)


def ingest_on(bench: Bench, sink: RecordingSink, checkpoints: AwaitedCheckpoints | None = None) -> Ingest:
    """Return the traces' ingest stage, storing into ``sink``."""
    ticker = Ticker(bench.producer, list, lambda *_: 0, 1.0)  # type: ignore[arg-type]
    return Ingest(bench.wiring, TRACES, sink, checkpoints or AwaitedCheckpoints(), ticker)  # type: ignore[arg-type]


def one_span(end_ns: int, service: str = "cart") -> bytes:
    """Return a request with one server span of a service."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", service
    span = resource.scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.kind, span.name = b"t" * 16, b"s" * 8, Span.SPAN_KIND_SERVER, "GET /"
    span.start_time_unix_nano, span.end_time_unix_nano = end_ns - 5_000_000, end_ns
    return request.SerializeToString()


async def test_floor_waits_for_the_pane_and_moves_when_ticks_close_it(tmp_path: Path) -> None:
    """The record of an open pane is needed until its lateness is over; then the floor follows the position."""
    bench, sink = Bench(tmp_path), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        await bench.give(TRACES.name, b"", headers=TICK, wall_ns=BEGIN_NS + 30 * SECOND_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 2)
        assert bench.app.floors.floor(TRACES_0) == 0
    assert [(row.tenant, row.offset) for row in sink.rows] == [("acme", 0)]


async def test_partials_come_before_the_progress_that_speaks_of_them(tmp_path: Path) -> None:
    """Order is the whole point of progress."""
    bench, sink = Bench(tmp_path), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        await bench.until(lambda: len(bench.producer.values(ROLLUPS.name, PROGRESS_KEY)) == 2)
    keys = [message.key for message in bench.producer.sent if message.topic == ROLLUPS.name]
    assert keys == [service_key("acme", "cart"), PROGRESS_KEY, PROGRESS_KEY]
    partial = ServicePartial.decode(bench.producer.values(ROLLUPS.name)[0])
    assert (partial.source, partial.first_offset, partial.last_offset) == ("otel.traces/0", 0, 0)


async def test_store_that_is_away_holds_reading_up_and_loses_nothing(tmp_path: Path) -> None:
    """Two refusals are waited out; the row is stored once."""
    bench, sink = Bench(tmp_path), RecordingSink(away=2)
    async with bench.running(ingest_on(bench, sink)):
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 1)
    assert [row.offset for row in sink.rows] == [0]


async def test_bad_message_becomes_a_dead_letter_and_its_neighbours_are_stored(tmp_path: Path) -> None:
    """Garbage and a null value stop nothing and are not lost."""
    bench, sink = Bench(tmp_path), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        await bench.give(TRACES.name, b"\xff\xff\xff", headers=ACME, wall_ns=BEGIN_NS)
        await bench.give(TRACES.name, None, headers=ACME, wall_ns=BEGIN_NS)
        await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 3)
    letters = [DeadLetter.model_validate_json(value) for value in bench.producer.values(DEAD_LETTERS.name)]
    assert [(letter.offset, letter.reason) for letter in letters] == [(0, "decode"), (1, "null_value")]
    assert [row.offset for row in sink.rows] == [2]


async def test_a_record_whose_dead_letter_is_confirmed_is_done_with(tmp_path: Path) -> None:
    """It was the last of its partition: no row after it says so."""
    bench, checkpoints = Bench(tmp_path), AwaitedCheckpoints()
    async with bench.running(ingest_on(bench, RecordingSink(), checkpoints)):
        await bench.give(TRACES.name, b"\xff\xff\xff", headers=ACME, wall_ns=BEGIN_NS)
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 1)
    assert checkpoints.table.kept[TRACES.name, 0].durable_offset == 0


def test_envelope_believes_one_valid_tenant_only() -> None:
    """Two tenants, none, or one that cannot be a name are the same: unknown."""
    assert read_envelope([("x-tenant-id", b"acme"), ("X-Tenant-Id", b"acme")]).tenant == "acme"
    assert read_envelope([("x-tenant-id", b"acme"), ("x-tenant-id", b"evil")]).tenant is None
    assert read_envelope([("x-tenant-id", b"a|b")]).tenant is None
    assert read_envelope([("x-tenant-id", b"\xff\xfe")]).tenant is None
    assert read_envelope([]).tenant is None


def test_envelope_takes_a_decimal_instant_only() -> None:
    """A nonsense arrival header leaves the tenant on the wall clock."""
    assert read_envelope([("x-arrival-unix-nano", b"1700000000000000000")]).driven_ns == 1_700_000_000_000_000_000
    for nonsense in (b"", b"-5", b"0", b"1e9", b"99999999999999999999", b"9999999999999999999"):
        assert read_envelope([("x-arrival-unix-nano", nonsense)]).driven_ns is None
