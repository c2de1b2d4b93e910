"""Log records land with bodies of any type, with and without a trace."""

from __future__ import annotations

from typing import Any

import pytest
from otlp_examples import ARRIVAL_NS, DAY_NS, EVERY_TYPE, SPAN_ID, TRACE_ID, any_value, logs, pairs, spans

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.raw_reads import trace_logs


async def land(sink: RawSink, tenant: str, request: Any) -> None:
    """Land one request."""
    await sink.insert("otel.logs", [RawRow(tenant, 0, 0, request.SerializeToString(), ARRIVAL_NS)])


async def stored(clickhouse: ClickHouse, tenant: str, columns: str, table: str = "logs") -> list[tuple[Any, ...]]:
    """Return columns of a tenant's rows, in the order they were sent."""
    sql = f"SELECT {columns} FROM {table} WHERE tenant = {{tenant:String}} ORDER BY kafka_offset, item"
    return [tuple(row.values()) for row in await clickhouse.query(sql, {"tenant": tenant})]


async def test_bodies_of_every_type_come_back(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Text, numbers, bytes, lists and maps; and the attributes with their types."""
    request = logs(len(EVERY_TYPE))
    records = request.resource_logs[0].scope_logs[0].log_records
    for record, value in zip(records, reversed(EVERY_TYPE.values()), strict=True):
        record.body.CopyFrom(any_value(value))
        record.trace_id, record.span_id = TRACE_ID, SPAN_ID
        record.attributes.extend(pairs({"attempt": 3}))
    await land(sink, tenant, request)
    lines = (await trace_logs(clickhouse, tenant, TRACE_ID.hex())).lines
    assert [line.body for line in lines] == list((EVERY_TYPE | {"raw": "AP8="}).values())
    assert {line.span_id for line in lines} == {SPAN_ID.hex()}
    assert lines[0].attributes == {"attempt": 3}
    assert (lines[0].service, lines[0].severity) == ("checkout", "info")


async def test_a_map_body_is_json_in_sql(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Structured logs can be searched: their body is canonical JSON two levels deep."""
    request = logs()
    body = {"msg": 'it "broke"', "http": {"status": 500, "ok": False}, "tags": ["a", 1.5]}
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(any_value(body))
    await land(sink, tenant, request)
    expected = '{"msg":"it \\"broke\\"","http":{"status":500,"ok":false},"tags":["a",1.5]}'
    assert await stored(clickhouse, tenant, "body, body_type, JSONExtractInt(body, 'http', 'status')") == [
        (expected, "map", 500)
    ]


async def test_logs_need_no_trace(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Without ids they are stored; a trace id of a wrong length is refused, a wrong span id dropped."""
    request = logs(3)
    records = request.resource_logs[0].scope_logs[0].log_records
    records[1].trace_id = b"short"
    records[2].trace_id, records[2].span_id = TRACE_ID, b"x"
    await land(sink, tenant, request)
    assert await stored(clickhouse, tenant, "item, trace_id_hex, span_id_hex") == [
        (0, "0" * 32, "0" * 16),
        (2, TRACE_ID.hex(), "0" * 16),
    ]
    assert await stored(clickhouse, tenant, "item, reason, topic", "rejected_items") == [(1, "bad_id", "otel.logs")]


async def test_a_log_without_a_time_takes_the_observed_one_else_the_arrival(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """In this order; a time out of range is clamped and marked."""
    request = logs(3)
    first, second, third = request.resource_logs[0].scope_logs[0].log_records
    first.time_unix_nano, first.observed_time_unix_nano = 0, ARRIVAL_NS - 5
    second.time_unix_nano = 0
    third.time_unix_nano = ARRIVAL_NS - 3 * DAY_NS
    await land(sink, tenant, request)
    assert await stored(clickhouse, tenant, "toUnixTimestamp64Nano(time), marks") == [
        (ARRIVAL_NS - 5, 0),
        (ARRIVAL_NS, 0),
        (ARRIVAL_NS - DAY_NS, 1),
    ]


@pytest.mark.parametrize(
    ("number", "severity"),
    [(0, "unspecified"), (1, "trace"), (8, "debug"), (17, "error"), (24, "fatal"), (300, "unspecified")],
)
async def test_severity_numbers_have_names(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, number: int, severity: str
) -> None:
    """By the specification's ranges; an unknown number is kept."""
    request = logs()
    request.resource_logs[0].scope_logs[0].log_records[0].severity_number = number  # type: ignore[assignment]
    await land(sink, tenant, request)
    assert await stored(clickhouse, tenant, "severity_number, severity") == [(number, severity)]


async def test_logs_of_a_trace_are_found_with_and_without_its_spans(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """The spans narrow the search in time; another tenant's logs of the same trace are not shown."""
    request = logs()
    request.resource_logs[0].scope_logs[0].log_records[0].trace_id = TRACE_ID
    await land(sink, tenant, request)
    await land(sink, f"{tenant}-other", request)
    assert len((await trace_logs(clickhouse, tenant, TRACE_ID.hex())).lines) == 1
    await sink.insert("otel.traces", [RawRow(tenant, 0, 0, spans().SerializeToString(), ARRIVAL_NS)])
    assert len((await trace_logs(clickhouse, tenant, TRACE_ID.hex())).lines) == 1
