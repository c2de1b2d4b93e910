"""Spans land with everything that was sent, and nothing a producer writes can do harm."""

from __future__ import annotations

from typing import Any

import pytest
from otlp_examples import ARRIVAL_NS, DAY_NS, EVERY_TYPE, SPAN_ID, TRACE_ID, pairs, spans

from schemas.errors import StoreRejected
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.framing import varint
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.raw_reads import trace

TOPIC = "otel.traces"
AS_READ = EVERY_TYPE | {"raw": "AP8="}
"""Bytes are base64 in what is read."""


async def land(sink: RawSink, tenant: str, *requests: Any, arrival_ns: int = ARRIVAL_NS) -> None:
    """Land requests (or raw values) as records 0, 1, ... of partition 3."""
    values = [request if isinstance(request, bytes) else request.SerializeToString() for request in requests]
    await sink.insert(TOPIC, [RawRow(tenant, 3, offset, value, arrival_ns) for offset, value in enumerate(values)])


async def stored(clickhouse: ClickHouse, tenant: str, columns: str, table: str = "spans") -> list[tuple[Any, ...]]:
    """Return columns of a tenant's rows, in the order they were sent."""
    rows = await clickhouse.query(
        f"SELECT {columns} FROM {table} WHERE tenant = {{tenant:String}} ORDER BY kafka_offset, item",
        {"tenant": tenant},
    )
    return [tuple(row.values()) for row in rows]


async def test_a_span_comes_back_with_every_type_of_attribute(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Attributes of the span, its resource, scope, events and links keep their types, nested ones too."""
    request = spans()
    resource = request.resource_spans[0]
    resource.resource.attributes.extend(pairs({"process.command_args": ["python", "-m", "shop"], "process.pid": 7}))
    scope = resource.scope_spans[0]
    scope.scope.name, scope.scope.version = "fastapi", "0.57"
    span = scope.spans[0]
    span.parent_span_id = SPAN_ID
    span.kind, span.status.code, span.status.message = 2, 2, "boom"
    span.attributes.extend(pairs(EVERY_TYPE))
    event = span.events.add(name="exception", time_unix_nano=ARRIVAL_NS)
    event.attributes.extend(pairs({"exception.type": "KeyError", "attempt": 2}))
    span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID).attributes.extend(pairs({"cause": True}))
    await land(sink, tenant, request)

    found = await trace(clickhouse, tenant, TRACE_ID.hex())
    assert found is not None
    [read] = found.spans
    assert read.attributes == AS_READ
    assert {key: type(value) for key, value in read.attributes.items()} == {
        key: type(value) for key, value in AS_READ.items()
    }
    assert read.resource_attributes == {
        "service.name": "checkout",
        "process.command_args": ["python", "-m", "shop"],
        "process.pid": 7,
    }
    assert (read.service, read.name, read.kind, read.status, read.status_message) == (
        "checkout", "GET /1", "server", "error", "boom",
    )  # fmt: skip
    assert (read.scope_name, read.scope_version, read.parent_span_id) == ("fastapi", "0.57", SPAN_ID.hex())
    assert read.events[0].attributes == {"exception.type": "KeyError", "attempt": 2}
    assert (read.links[0].trace_id, read.links[0].attributes) == (TRACE_ID.hex(), {"cause": True})
    assert (read.end_ns - read.start_ns, read.duration_ns) == (5_000_000, 5_000_000)


async def test_numbers_are_asked_for_in_sql(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """The text of a number converts, and its type is beside it; strings need no type."""
    request = spans()
    request.resource_spans[0].scope_spans[0].spans[0].attributes.extend(pairs(EVERY_TYPE))
    await land(sink, tenant, request)
    columns = "toInt64(attributes['largest']), attribute_types['largest'], mapContains(attribute_types, 'text')"
    assert await stored(clickhouse, tenant, columns) == [(2**63 - 1, "int", False)]


async def test_every_span_has_its_ingest_id(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Partition, offset and the ordinal in the record, over resources and scopes; rejected items are counted in."""
    request = spans(2)
    request.resource_spans[0].scope_spans.add().spans.add(trace_id=b"short", span_id=SPAN_ID)
    request.MergeFrom(spans(2, service="cart"))
    await land(sink, tenant, request, spans(1))
    assert await stored(clickhouse, tenant, "kafka_partition, kafka_offset, item, service") == [
        (3, 0, 0, "checkout"),
        (3, 0, 1, "checkout"),
        (3, 0, 3, "cart"),
        (3, 0, 4, "cart"),
        (3, 1, 0, "checkout"),
    ]
    assert await stored(clickhouse, tenant, "item, reason", "rejected_items") == [(2, "bad_id")]
    landed = await clickhouse.query(
        "SELECT kafka_offset, items FROM landed_records WHERE tenant = {tenant:String} ORDER BY 1", {"tenant": tenant}
    )
    assert [tuple(row.values()) for row in landed] == [(0, 5), (1, 1)]


@pytest.mark.parametrize(
    "broken",
    [
        {"trace_id": b""},
        {"trace_id": bytes(16)},
        {"trace_id": bytes(17)},
        {"span_id": b""},
        {"span_id": bytes(8)},
        {"span_id": b"nine byte"},
        {"parent_span_id": b"abc"},
    ],
)
async def test_a_bad_id_rejects_its_span_only(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, broken: dict[str, bytes]
) -> None:
    """The neighbours in the same message are stored."""
    request = spans(3)
    for name, value in broken.items():
        setattr(request.resource_spans[0].scope_spans[0].spans[1], name, value)
    await land(sink, tenant, request)
    assert await stored(clickhouse, tenant, "item") == [(0,), (2,)]
    assert await stored(clickhouse, tenant, "item, reason, name", "rejected_items") == [(1, "bad_id", "GET /2")]


@pytest.mark.parametrize("instant", [0, 1, ARRIVAL_NS - 2 * DAY_NS, ARRIVAL_NS + DAY_NS, 2**63, 2**64 - 1])
async def test_a_wild_time_is_clamped_and_kept_beside(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, instant: int
) -> None:
    """The row is at most a day from its arrival, flagged; what was sent can still be read."""
    request = spans()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.start_time_unix_nano = span.end_time_unix_nano = instant
    await land(sink, tenant, request)
    columns = "abs(dateDiff('hour', start_time, arrival_time)) <= 24, start_unix_nano, end_unix_nano, marks"
    assert await stored(clickhouse, tenant, columns) == [(1, instant, instant, 1)]


async def test_a_batch_of_three_hundred_days_is_stored(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """ClickHouse refuses an insert into more than 100 partitions; neither spans nor arrivals can cause it."""
    request = spans(300)
    for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
        span.start_time_unix_nano = ARRIVAL_NS - number * DAY_NS
    await land(sink, tenant, request)
    value = spans(1).SerializeToString()
    rows = [RawRow(tenant, 4, number, value, ARRIVAL_NS - number * DAY_NS) for number in range(150)]
    await sink.insert(TOPIC, rows)
    assert len(await stored(clickhouse, tenant, "item")) == 450


async def test_a_span_that_ends_before_it_starts_lasts_nothing(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Duration 0 and a mark."""
    request = spans()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.end_time_unix_nano = span.start_time_unix_nano - 1
    await land(sink, tenant, request)
    assert await stored(clickhouse, tenant, "duration_ns, marks") == [(0, 2)]


async def test_unknown_enums_read_as_unspecified_and_keep_their_number(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Kind 99 and status 9 are stored as sent."""
    request = spans()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.kind, span.status.code = 99, 9  # type: ignore[assignment]  # open enums in proto3
    value = request.SerializeToString()
    await land(sink, tenant, value)
    columns = "kind, kind_code, status, status_code"
    assert await stored(clickhouse, tenant, columns) == [("unspecified", 99, "unset", 9)]


async def test_a_service_without_a_name_is_unknown(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """No resource at all, no service.name, an empty one."""
    nameless, empty = spans(), spans(service="")
    nameless.resource_spans[0].ClearField("resource")
    await land(sink, tenant, nameless, empty)
    assert await stored(clickhouse, tenant, "service") == [("unknown_service",)] * 2


async def test_a_tenant_in_the_payload_is_not_believed(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Our fields stand outside the value: no field number in it reaches them."""
    victim = f"{tenant}-victim"
    spoofed = b"".join(varint(number << 3 | 2) + varint(len(victim)) + victim.encode() for number in (2, 3, 15))
    await land(sink, tenant, spans().SerializeToString() + spoofed)
    assert len(await stored(clickhouse, tenant, "item")) == 1
    assert await stored(clickhouse, victim, "item") == []


async def test_a_value_that_breaks_off_swallows_nothing_of_ours(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """A last field that claims more bytes than there are refuses the insert; the next record is not eaten."""
    value = spans().SerializeToString()
    for claimed in (1, 20, 40, 200):
        with pytest.raises(StoreRejected):
            await land(sink, tenant, value + varint(15 << 3 | 2) + varint(claimed), value)
    assert await stored(clickhouse, tenant, "item") == []


async def test_bytes_that_are_no_request_refuse_the_whole_insert(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Nothing of the batch is stored, so its rows can be sent again in halves."""
    good = spans().SerializeToString()
    with pytest.raises(StoreRejected):
        await land(sink, tenant, good, good[:-7], good)
    assert await stored(clickhouse, tenant, "item") == []
    landed = await clickhouse.query("SELECT items FROM landed_records WHERE tenant = {t:String}", {"t": tenant})
    assert landed == []


async def test_unknown_and_repeated_fields_do_no_harm(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """A later OTLP version's fields are skipped, and joined requests are one request."""
    future = varint(200 << 3 | 2) + varint(3) + b"new" + varint(201 << 3) + b"\x05"
    await land(sink, tenant, spans(1).SerializeToString() + future + spans(2).SerializeToString())
    assert len(await stored(clickhouse, tenant, "item")) == 3


async def test_names_that_are_not_utf8_do_not_lose_their_span(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """The bytes are stored as sent, and the trace can be read."""
    value = spans().SerializeToString().replace(b"GET /1", b"GET \xff1")
    await land(sink, tenant, value)
    found = await trace(clickhouse, tenant, TRACE_ID.hex())
    assert found is not None
    assert len(found.spans) == 1


async def test_nothing_to_land_is_nothing_to_do(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """No rows, and a record without spans, which is counted."""
    await sink.insert(TOPIC, [])
    await land(sink, tenant, b"")
    rows = await clickhouse.query("SELECT items FROM landed_records WHERE tenant = {tenant:String}", {"tenant": tenant})
    assert rows == [{"items": 0}]
