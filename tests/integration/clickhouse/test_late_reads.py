"""What panes are measured again from is weighed before it is read, and only what decoders read is."""

from __future__ import annotations

from otlp_examples import ARRIVAL_NS, DAY_NS, SECOND_NS, logs, pairs, spans

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.late_reads import Amount, EventRange, amounts_within, logs_within, spans_within
from streams.otlp.rebuilding import KEYS
from topologies.late import MOST_BYTES, is_too_much

WIDE = {f"k{number}": "v" * 2_000 for number in range(100)}
"""What nobody reads."""


def within(tenant: str) -> EventRange:
    """Return the minute in which the items are."""
    return EventRange(tenant, ARRIVAL_NS - 60 * SECOND_NS, ARRIVAL_NS + SECOND_NS, DAY_NS, DAY_NS)


async def land(sink: RawSink, tenant: str) -> None:
    """Land forty spans and log records: of a resource, a span, an event and a record, what is read and much more."""
    traces, lines = spans(40), logs(40)
    traces.resource_spans[0].resource.attributes.extend(pairs({"service.version": "1.5", **WIDE}))
    lines.resource_logs[0].resource.attributes.extend(pairs(WIDE))
    for span in traces.resource_spans[0].scope_spans[0].spans:
        span.kind = 3
        span.attributes.extend(pairs({"server.address": "db", "server.port": 5432, **WIDE}))
        span.events.add(name="exception", attributes=pairs({"exception.type": "Bang", **WIDE}))
        span.events.add(name="retry", attributes=pairs(WIDE))
    for record in lines.resource_logs[0].scope_logs[0].log_records:
        record.attributes.extend(pairs({"exception.type": "Bang", **WIDE}))
    await sink.insert("otel.traces", [RawRow(tenant, 0, 0, traces.SerializeToString(), ARRIVAL_NS)])
    await sink.insert("otel.logs", [RawRow(tenant, 0, 0, lines.SerializeToString(), ARRIVAL_NS)])


async def test_only_what_decoders_read_is_read_and_it_is_weighed_before(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Forty spans of a megabyte each are a few kilobytes of what matters."""
    await land(sink, tenant)
    (of_spans, of_logs) = await amounts_within(clickhouse, within(tenant), KEYS, 300_000)
    assert (of_spans.items, of_logs.items) == (40, 40)
    assert of_spans.size_bytes < 40 * 1_000
    assert of_logs.size_bytes < 40 * 1_000
    span, *_ = await spans_within(clickhouse, within(tenant), KEYS, 40)
    assert span["resource_attributes"] == {"service.name": "checkout", "service.version": "1.5"}
    assert (span["attributes"], span["attribute_types"]) == (
        {"server.address": "db", "server.port": "5432"},
        {"server.port": "int"},
    )
    (event,) = span["events"]
    assert (event["name"], event["attributes"]) == ("exception", {"exception.type": "Bang"})
    record, *_ = await logs_within(clickhouse, within(tenant), KEYS, 40)
    assert (record["body"], record["attributes"]) == ("line 1", {"exception.type": "Bang"})


async def test_counting_ends_at_the_limit(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """However many there are; of nothing there is nothing."""
    await land(sink, tenant)
    assert [one.items for one in await amounts_within(clickhouse, within(tenant), KEYS, 3)] == [3, 3]
    assert await amounts_within(clickhouse, within(f"{tenant}-nobody"), KEYS, 3) == [Amount(0, 0), Amount(0, 0)]


def test_too_much_is_too_many_items_or_bytes() -> None:
    """Items of each, bytes of both together."""
    half = MOST_BYTES // 2
    assert not is_too_much([Amount(10, half), Amount(10, half)], 10)
    assert is_too_much([Amount(10, half), Amount(10, half + 1)], 10)
    assert is_too_much([Amount(1, 0), Amount(11, 0)], 10)
