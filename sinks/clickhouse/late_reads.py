"""Reads what panes are measured again from: spans and log records as they are stored, late or not.

What was out of range when it came is in no window, and is left out here as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sinks.clickhouse.client import ClickHouse

_EARLIEST = "toUnixTimestamp64Nano(arrival_time) - {past:Int64}"
_LATEST = "toUnixTimestamp64Nano(arrival_time) + {future:Int64}"
_LOG_TIME = "toInt64(if(unix_nano > 0, unix_nano, observed_unix_nano))"
_PANE = "toInt64(intDiv(end_unix_nano, {pane:UInt64}) * {pane:UInt64})"

# A span that began more than the accepted past before its record came is out of range, so no older day is opened.
_SPANS = f"""
FROM spans
WHERE tenant = {{tenant:String}}
  AND start_time >= fromUnixTimestamp64Nano({{start:Int64}} - {{past:Int64}}, 'UTC')
  AND start_time < fromUnixTimestamp64Nano({{end:Int64}}, 'UTC')
  AND end_unix_nano >= {{start:Int64}} AND end_unix_nano < {{end:Int64}} AND start_unix_nano > 0
  AND toInt64(end_unix_nano) BETWEEN {_EARLIEST} AND {_LATEST} AND toInt64(start_unix_nano) >= {_EARLIEST}
"""

SPANS = f"""
SELECT service, resource_attributes, resource_attribute_types, trace_id_hex, span_id_hex, parent_span_id_hex, name,
       kind_code, status_code, status_message, start_unix_nano, end_unix_nano, attributes, attribute_types, events
{_SPANS}
ORDER BY service, kafka_partition, kafka_offset, item
LIMIT {{limit:UInt32}}
"""  # constant text

RELATED_PANES = f"""
SELECT DISTINCT {_PANE} AS pane_start_ns
{_SPANS}
  AND trace_id IN (SELECT trace_id {_SPANS} AND has({{panes:Array(Int64)}}, {_PANE}))
"""  # constant text

LOGS = f"""
SELECT service, resource_attributes, resource_attribute_types, trace_id_hex, span_id_hex, unix_nano,
       observed_unix_nano, severity_number, severity_text, body, body_type, event_name, attributes, attribute_types
FROM logs
WHERE tenant = {{tenant:String}}
  AND time >= fromUnixTimestamp64Nano({{start:Int64}}, 'UTC') AND time < fromUnixTimestamp64Nano({{end:Int64}}, 'UTC')
  AND {_LOG_TIME} BETWEEN {_EARLIEST} AND {_LATEST}
ORDER BY service, kafka_partition, kafka_offset, item
LIMIT {{limit:UInt32}}
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


async def spans_within(clickhouse: ClickHouse, within: EventRange, limit: int) -> list[dict[str, Any]]:
    """Return the spans that end within the range, service by service, the first ``limit`` of them."""
    return await clickhouse.query(SPANS, {**within.parameters(), "limit": limit})


async def logs_within(clickhouse: ClickHouse, within: EventRange, limit: int) -> list[dict[str, Any]]:
    """Return the log records within the range, service by service, the first ``limit`` of them."""
    return await clickhouse.query(LOGS, {**within.parameters(), "limit": limit})


async def related_panes(clickhouse: ClickHouse, within: EventRange, panes: list[int], pane_ns: int) -> list[int]:
    """Return the panes in which spans of the same traces end as the spans in ``panes``, within the range.

    Of all traces of these panes, late or not: a replayed dead letter keeps its arrival, and looks like the others.
    """
    parameters = {**within.parameters(), "panes": panes, "pane": pane_ns}
    return [row["pane_start_ns"] for row in await clickhouse.query(RELATED_PANES, parameters)]
