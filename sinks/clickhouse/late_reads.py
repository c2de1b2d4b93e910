"""Reads what panes are measured again from: spans and log records as they are stored, late or not.

What was out of range when it came is in no window, and is left out here as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.clickhouse.client import ClickHouse

_EARLIEST = "toUnixTimestamp64Nano(arrival_time) - {past:Int64}"
_LATEST = "toUnixTimestamp64Nano(arrival_time) + {future:Int64}"
_LOG_TIME = "toInt64(if(unix_nano > 0, unix_nano, observed_unix_nano))"
_PANE = "toInt64(intDiv(end_unix_nano, {pane:UInt64}) * {pane:UInt64})"


def _kept(column: str, keys: str) -> str:
    """Return those attributes of a column that somebody asks for."""
    return f"mapFilter((key, _) -> has({{{keys}:Array(String)}}, key), {column})"


# A span that began more than the accepted past before its record came is out of range, so no older day is opened.
_SPANS = f"""
FROM spans
WHERE tenant = {{tenant:String}}
  AND start_time >= fromUnixTimestamp64Nano({{start:Int64}} - {{past:Int64}}, 'UTC')
  AND start_time < fromUnixTimestamp64Nano({{end:Int64}}, 'UTC')
  AND end_unix_nano >= {{start:Int64}} AND end_unix_nano < {{end:Int64}} AND start_unix_nano > 0
  AND toInt64(end_unix_nano) BETWEEN {_EARLIEST} AND {_LATEST} AND toInt64(start_unix_nano) >= {_EARLIEST}
"""

_SPAN_COLUMNS = f"""
service, {_kept("spans.resource_attributes", "resource_keys")} AS resource_attributes,
{_kept("spans.resource_attribute_types", "resource_keys")} AS resource_attribute_types,
trace_id_hex, span_id_hex, parent_span_id_hex, name, kind_code, status_code, start_unix_nano, end_unix_nano,
{_kept("spans.attributes", "span_keys")} AS attributes,
{_kept("spans.attribute_types", "span_keys")} AS attribute_types,
arrayMap(
    one -> CAST(tuple(
        one.unix_nano, one.name, {_kept("one.attributes", "exception_keys")},
        {_kept("one.attribute_types", "exception_keys")}
    ), 'Tuple(unix_nano UInt64, name String, attributes Map(String, String), attribute_types Map(String, String))'),
    arrayFilter(one -> one.name = 'exception', spans.events)
) AS events
"""

SPANS = f"""
SELECT {_SPAN_COLUMNS}
{_SPANS}
ORDER BY service, kafka_partition, kafka_offset, item
LIMIT {{limit:UInt32}}
"""  # constant text

SPAN_SIZES = f"""
SELECT count() AS items, sum(size_bytes) AS size_bytes FROM (
    SELECT {_SPAN_COLUMNS},
           byteSize(service, resource_attributes, resource_attribute_types, trace_id_hex, span_id_hex,
                    parent_span_id_hex, name, attributes, attribute_types, events) AS size_bytes
    {_SPANS}
    LIMIT {{limit:UInt32}}
)
"""  # noqa: S608  # constant text

RELATED_PANES = f"""
SELECT DISTINCT {_PANE} AS pane_start_ns
{_SPANS}
  AND trace_id IN (SELECT trace_id {_SPANS} AND has({{panes:Array(Int64)}}, {_PANE}))
"""  # constant text

_LOGS = f"""
FROM logs
WHERE tenant = {{tenant:String}}
  AND time >= fromUnixTimestamp64Nano({{start:Int64}}, 'UTC') AND time < fromUnixTimestamp64Nano({{end:Int64}}, 'UTC')
  AND {_LOG_TIME} BETWEEN {_EARLIEST} AND {_LATEST}
"""

_LOG_COLUMNS = f"""
service, {_kept("logs.resource_attributes", "resource_keys")} AS resource_attributes,
{_kept("logs.resource_attribute_types", "resource_keys")} AS resource_attribute_types,
trace_id_hex, span_id_hex, unix_nano, observed_unix_nano, severity_number, severity_text, body, body_type, event_name,
{_kept("logs.attributes", "exception_keys")} AS attributes,
{_kept("logs.attribute_types", "exception_keys")} AS attribute_types
"""

LOGS = f"""
SELECT {_LOG_COLUMNS}
{_LOGS}
ORDER BY service, kafka_partition, kafka_offset, item
LIMIT {{limit:UInt32}}
"""  # constant text

LOG_SIZES = f"""
SELECT count() AS items, sum(size_bytes) AS size_bytes FROM (
    SELECT {_LOG_COLUMNS},
           byteSize(service, resource_attributes, resource_attribute_types, trace_id_hex, span_id_hex, severity_text,
                    body, event_name, attributes, attribute_types) AS size_bytes
    {_LOGS}
    LIMIT {{limit:UInt32}}
)
"""  # noqa: S608  # constant text


@dataclass(frozen=True, slots=True)
class EventRange:
    """Event times [start, end) of one tenant, and what counts as in range of an arrival. Nanoseconds."""

    tenant: str
    start_ns: int
    end_ns: int
    past_ns: int
    future_ns: int

    def parameters(self) -> dict[str, Any]:
        """Return what the questions bind."""
        return {
            "tenant": self.tenant, "start": self.start_ns, "end": self.end_ns, "past": self.past_ns,
            "future": self.future_ns,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amount:
    """How much would be read: spans or log records, and bytes of what is asked for of them."""

    items: int
    size_bytes: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Amount:
        """Return the one row of an answer."""
        return cls(int(row["items"]), int(row["size_bytes"] or 0))


Keys = Mapping[str, Sequence[str]]
"""Attributes that are asked for: ``resource_keys``, ``span_keys``, ``exception_keys``."""


async def amounts_within(clickhouse: ClickHouse, within: EventRange, keys: Keys, limit: int) -> list[Amount]:
    """Return how much the spans and the log records within the range are, counted as far as ``limit`` of them."""
    parameters = {**within.parameters(), **keys, "limit": limit}
    return [Amount.of((await clickhouse.query(sql, parameters))[0]) for sql in (SPAN_SIZES, LOG_SIZES)]


async def spans_within(clickhouse: ClickHouse, within: EventRange, keys: Keys, limit: int) -> list[dict[str, Any]]:
    """Return the spans that end within the range, service by service, the first ``limit`` of them.

    Of their events those that are exceptions.
    """
    return await clickhouse.query(SPANS, {**within.parameters(), **keys, "limit": limit})


async def logs_within(clickhouse: ClickHouse, within: EventRange, keys: Keys, limit: int) -> list[dict[str, Any]]:
    """Return the log records within the range, service by service, the first ``limit`` of them."""
    return await clickhouse.query(LOGS, {**within.parameters(), **keys, "limit": limit})


async def related_panes(clickhouse: ClickHouse, within: EventRange, panes: list[int], pane_ns: int) -> list[int]:
    """Return the panes in which spans of the same traces end as the spans in ``panes``, within the range.

    Of all traces of these panes, late or not: a replayed dead letter keeps its arrival, and looks like the others.
    """
    parameters = {**within.parameters(), "panes": panes, "pane": pane_ns}
    return [row["pane_start_ns"] for row in await clickhouse.query(RELATED_PANES, parameters)]
