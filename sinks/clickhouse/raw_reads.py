"""Reads raw telemetry. Every question names a tenant, every value is bound by ClickHouse, and every answer is bounded
in bytes as well as in rows (docs/adr/0050).

A trace is found by `trace_times`, which says when it ran, so one day and a few granules are opened. Where it says
nothing, logs of the trace may be anywhere: the Bloom filters of ``by_trace`` are asked, two bytes a record of the
tenant, and of rows one granule in a thousand is read beside those that have some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.queries import FoundLogs, LogLine, SpanEvent, SpanLink, StoredCount, Trace, TraceSpan
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.values import open_attributes, open_body

MAX_SPANS = 10_000
MAX_LOGS = 5_000

MOST_BYTES = 16 << 20
"""Of one answer, as ClickHouse holds it; the row that passes it is the last. Opened it takes a few times as much."""

_SPANS = """
FROM spans
WHERE tenant = {tenant:String} AND start_time BETWEEN bounds.1 AND bounds.2 AND trace_id = unhex({trace_id:String})
"""

# Sizes are taken before the rows are sorted and cut (they are a key of the order), so no row is held for its size.
TRACE = f"""
WITH (
    SELECT (min(first_time), max(last_time)) FROM trace_times
    WHERE tenant = {{tenant:String}} AND trace_id = unhex({{trace_id:String}})
) AS bounds
SELECT
    trace_id_hex, span_id_hex, parent_span_id_hex, service, name, kind, status, status_message,
    start_unix_nano, end_unix_nano, duration_ns, attributes, attribute_types,
    resource_attributes, resource_attribute_types, scope_name, scope_version, events, links,
    (SELECT count() FROM (SELECT 1 {_SPANS} LIMIT 1 BY span_id, kind_code LIMIT {{limit:UInt32}} + 1)) AS there_are
{_SPANS}
  AND (kafka_partition, kafka_offset, item) IN (
    SELECT kafka_partition, kafka_offset, item FROM (
        SELECT kafka_partition, kafka_offset, item, sum(size_bytes) OVER (
            ORDER BY start_unix_nano, end_unix_nano DESC, span_id, kafka_partition, kafka_offset, item
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
        FROM (
            SELECT
                kafka_partition, kafka_offset, item, start_unix_nano, end_unix_nano, span_id,
                byteSize(name, status_message, attributes, attribute_types, resource_attributes,
                         resource_attribute_types, scope_name, scope_version, events, links) AS size_bytes
            {_SPANS}
            ORDER BY
                start_unix_nano, end_unix_nano DESC, span_id, kafka_partition, kafka_offset, item, size_bytes
            LIMIT 1 BY span_id, kind_code
            LIMIT {{limit:UInt32}}
        )
    )
    WHERE bytes_before < {{most_bytes:UInt64}}
  )
ORDER BY start_unix_nano, end_unix_nano DESC, span_id_hex
"""  # noqa: S608  # constant text

_LOGS = """
FROM logs
WHERE tenant = {tenant:String} AND (NOT bounds.3 OR time BETWEEN bounds.1 AND bounds.2)
  AND trace_id = unhex({trace_id:String})
"""

TRACE_LOGS = f"""
WITH (
    SELECT (min(first_time) - INTERVAL 1 HOUR, max(last_time) + INTERVAL 1 HOUR, count() > 0) FROM trace_times
    WHERE tenant = {{tenant:String}} AND trace_id = unhex({{trace_id:String}})
) AS bounds
SELECT
    toUnixTimestamp64Nano(time) AS time_ns, service, severity, severity_text, body, body_type, event_name,
    trace_id_hex, span_id_hex, attributes, attribute_types, resource_attributes, resource_attribute_types,
    (SELECT count() FROM (SELECT 1 {_LOGS} LIMIT {{limit:UInt32}} + 1)) AS there_are
{_LOGS}
  AND (kafka_partition, kafka_offset, item) IN (
    SELECT kafka_partition, kafka_offset, item FROM (
        SELECT kafka_partition, kafka_offset, item, sum(size_bytes) OVER (
            ORDER BY time, kafka_partition, kafka_offset, item ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
        FROM (
            SELECT
                kafka_partition, kafka_offset, item, time,
                byteSize(severity_text, body, event_name, attributes, attribute_types, resource_attributes,
                         resource_attribute_types) AS size_bytes
            {_LOGS}
            ORDER BY time, kafka_partition, kafka_offset, item, size_bytes
            LIMIT {{limit:UInt32}}
        )
    )
    WHERE bytes_before < {{most_bytes:UInt64}}
  )
ORDER BY time, kafka_partition, kafka_offset, item
"""  # noqa: S608  # constant text

STORED = """
SELECT topic, kafka_partition AS partition, count() AS records, sum(items) AS items,
       min(kafka_offset) AS first_offset, max(kafka_offset) AS last_offset,
       count() - uniqExact(kafka_offset) AS doubled
FROM landed_records
WHERE {tenant:String} = '' OR tenant = {tenant:String}
GROUP BY topic, partition
ORDER BY topic, partition
"""

SPAN_NAMES = """
SELECT name, count() AS spans FROM spans
WHERE tenant = {tenant:String} AND start_time > now() - toIntervalSecond({seconds:UInt32})
GROUP BY name
ORDER BY spans DESC, name
LIMIT 100000
"""

NO_SPAN = "0" * 16
NO_TRACE = "0" * 32


async def trace(
    clickhouse: ClickHouse, tenant: str, trace_id: str, limit: int = MAX_SPANS, most_bytes: int = MOST_BYTES
) -> Trace | None:
    """Return the spans of a trace (32 hex digits) by start, or None when there is none.

    The first ``limit`` of them, and of these as many as are ``most_bytes`` and one more. A span that came twice is
    there once.
    """
    rows = await clickhouse.query(TRACE, _asked(tenant, trace_id, limit, most_bytes))
    if not rows:
        return None
    return Trace(trace_id=trace_id.lower(), spans=[_span(row) for row in rows], truncated=_is_cut(rows))


async def trace_logs(
    clickhouse: ClickHouse, tenant: str, trace_id: str, limit: int = MAX_LOGS, most_bytes: int = MOST_BYTES
) -> FoundLogs:
    """Return the log records that name a trace (32 hex digits), oldest first, as many as `trace` does of spans."""
    rows = await clickhouse.query(TRACE_LOGS, _asked(tenant, trace_id, limit, most_bytes))
    return FoundLogs(lines=[_log_line(row) for row in rows], truncated=_is_cut(rows))


def _asked(tenant: str, trace_id: str, limit: int, most_bytes: int) -> dict[str, str | int]:
    return {"tenant": tenant, "trace_id": trace_id, "limit": limit, "most_bytes": most_bytes}


def _is_cut(rows: Sequence[dict[str, Any]]) -> bool:
    return bool(rows) and rows[0]["there_are"] > len(rows)


async def stored_counts(clickhouse: ClickHouse, tenant: str = "") -> list[StoredCount]:
    """Return what is stored of each partition of the raw topics, of one tenant or of all."""
    return [StoredCount(**row) for row in await clickhouse.query(STORED, {"tenant": tenant})]


def _span(row: dict[str, Any]) -> TraceSpan:
    parent = row["parent_span_id_hex"]
    return TraceSpan(
        trace_id=row["trace_id_hex"],
        span_id=row["span_id_hex"],
        parent_span_id=None if parent == NO_SPAN else parent,
        start_ns=row["start_unix_nano"],
        end_ns=row["end_unix_nano"],
        attributes=open_attributes(row["attributes"], row["attribute_types"]),
        resource_attributes=open_attributes(row["resource_attributes"], row["resource_attribute_types"]),
        events=[_event(event) for event in row["events"]],
        links=[_link(link) for link in row["links"]],
        **{
            name: row[name]
            for name in (
                "service", "name", "kind", "status", "status_message", "duration_ns", "scope_name", "scope_version",
            )
        },
    )  # fmt: skip


def _event(event: dict[str, Any]) -> SpanEvent:
    attributes = open_attributes(event["attributes"], event["attribute_types"])
    return SpanEvent(time_ns=event["unix_nano"], name=event["name"], attributes=attributes)


def _link(link: dict[str, Any]) -> SpanLink:
    attributes = open_attributes(link["attributes"], link["attribute_types"])
    return SpanLink(trace_id=link["trace_id"], span_id=link["span_id"], attributes=attributes)


def _log_line(row: dict[str, Any]) -> LogLine:
    return LogLine(
        time_ns=row["time_ns"],
        service=row["service"],
        severity=row["severity"],
        severity_text=row["severity_text"],
        body=open_body(row["body"], row["body_type"]),
        event_name=row["event_name"],
        trace_id=None if row["trace_id_hex"] == NO_TRACE else row["trace_id_hex"],
        span_id=None if row["span_id_hex"] == NO_SPAN else row["span_id_hex"],
        attributes=open_attributes(row["attributes"], row["attribute_types"]),
        resource_attributes=open_attributes(row["resource_attributes"], row["resource_attribute_types"]),
    )


async def span_names(clickhouse: ClickHouse, tenant: str, hours: float) -> dict[str, int]:
    """Return the distinct span names of the last hours with their spans, the most frequent first."""
    rows = await clickhouse.query(SPAN_NAMES, {"tenant": tenant, "seconds": round(hours * 3600)})
    return {row["name"]: row["spans"] for row in rows}
