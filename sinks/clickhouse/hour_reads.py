"""Reads how far the series of a service went in the hours of the last weeks, from the minutes that are kept of it.

Of each hour the five minutes with the largest median speak (of traffic those with the smallest, of failures those with
the largest share), as `streams.baselines.hour_cells` notes what it measures itself.
"""

from __future__ import annotations

from typing import Any

from schemas.deviations import SeriesKind
from schemas.queries import HourlySeries
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.pane_reads import instant

SERVICE_HOURS = """
SELECT groupArray((hour, p50, p95)) AS latency, groupArray((hour, quietest, quietest)) AS traffic,
       groupArray((hour, failing.1, failing.2)) AS failures
FROM (
    SELECT hour, max(p50) AS p50, max(p95) AS p95, toFloat64(min(rate)) AS quietest,
           argMax((failed, seen), failed / greatest(seen, 1)) AS failing
    FROM (
        SELECT intDiv(toUnixTimestamp(minute), 3600) AS hour, intDiv(toUnixTimestamp(minute), 300) AS segment,
               quantileExact(0.5)(p50_ms) AS p50, quantileExact(0.5)(p95_ms) AS p95,
               quantileExact(0.5)(requests) AS rate, toFloat64(sum(requests)) AS seen, toFloat64(sum(errors)) AS failed
        FROM service_minutes FINAL
        WHERE tenant = {tenant:String} AND service = {service:String}
          AND minute >= {start:DateTime64(3, 'UTC')} AND minute < {end:DateTime64(3, 'UTC')}
        GROUP BY hour, segment
        HAVING count() >= 2
    )
    GROUP BY hour
)
"""

OPERATION_HOURS = """
SELECT operation, groupArray((hour, p50, p95)) AS own, sum(seen) AS total
FROM (
    SELECT operation, hour, max(p50) AS p50, max(p95) AS p95, sum(requests) AS seen
    FROM (
        SELECT operation, intDiv(toUnixTimestamp(minute), 3600) AS hour,
               intDiv(toUnixTimestamp(minute), 300) AS segment,
               quantileExact(0.5)(self_p50_ms) AS p50, quantileExact(0.5)(self_p95_ms) AS p95,
               sum(requests) AS requests
        FROM operation_minutes FINAL
        WHERE tenant = {tenant:String} AND service = {service:String}
          AND minute >= {start:DateTime64(3, 'UTC')} AND minute < {end:DateTime64(3, 'UTC')}
        GROUP BY operation, hour, segment
        HAVING count() >= 2
    )
    GROUP BY operation, hour
)
GROUP BY operation
ORDER BY total DESC, operation
LIMIT {limit:UInt32}
"""

EDGE_HOURS = """
SELECT client, groupArray((hour, gap_p50, gap_p95)) AS gap, groupArray((hour, p50, p95)) AS latency,
       groupArray((hour, failing.1, failing.2)) AS failures, sum(requests) AS total
FROM (
    SELECT client, hour, max(gap_p50) AS gap_p50, max(gap_p95) AS gap_p95, max(p50) AS p50, max(p95) AS p95,
           argMax((failed, seen), failed / greatest(seen, 1)) AS failing, sum(seen) AS requests
    FROM (
        SELECT client, intDiv(toUnixTimestamp(minute), 3600) AS hour,
               intDiv(toUnixTimestamp(minute), 300) AS segment,
               quantileExact(0.5)(gap_p50_ms) AS gap_p50, quantileExact(0.5)(gap_p95_ms) AS gap_p95,
               quantileExact(0.5)(client_p50_ms) AS p50, quantileExact(0.5)(client_p95_ms) AS p95,
               toFloat64(sum(requests)) AS seen, toFloat64(sum(errors)) AS failed
        FROM edge_minutes FINAL
        WHERE tenant = {tenant:String} AND server = {service:String}
          AND minute >= {start:DateTime64(3, 'UTC')} AND minute < {end:DateTime64(3, 'UTC')}
        GROUP BY client, hour, segment
        HAVING count() >= 2
    )
    GROUP BY client, hour
)
GROUP BY client
ORDER BY total DESC, client
LIMIT {limit:UInt32}
"""

MAX_PARTS = 16
"""Operations, and callers, that are read: the busiest."""

_Hours = list[tuple[int, float | None, float | None]]


async def hourly_series(
    clickhouse: ClickHouse, tenant: str, service: str, start_ns: int, end_ns: int
) -> list[HourlySeries]:
    """Return what the series of a service reached in each hour of [start, end) of which enough was measured.

    Error logs are not among them: no minute of them is kept. Raises `StoreUnavailable` or `StoreRejected`.
    """
    within: dict[str, Any] = {
        "tenant": tenant, "service": service, "start": instant(start_ns), "end": instant(end_ns), "limit": MAX_PARTS,
    }  # fmt: skip
    found = []
    for row in await clickhouse.ask(SERVICE_HOURS, within):
        found += [
            _series(SeriesKind.P95, row["latency"]),
            _series(SeriesKind.REQUEST_RATE, row["traffic"]),
            _series(SeriesKind.ERROR_RATE, row["failures"]),
        ]
    for row in await clickhouse.ask(OPERATION_HOURS, within):
        found.append(_series(SeriesKind.SELF_TIME, row["own"], operation=row["operation"]))
    for row in await clickhouse.ask(EDGE_HOURS, within):
        found += [
            _series(SeriesKind.GAP, row["gap"], row["client"]),
            _series(SeriesKind.EDGE_LATENCY, row["latency"], row["client"]),
            _series(SeriesKind.EDGE_ERROR_RATE, row["failures"], row["client"]),
        ]
    return [one for one in found if one.hours]


def _series(kind: SeriesKind, hours: _Hours, client: str | None = None, operation: str | None = None) -> HourlySeries:
    """Return a series without the hours in which nothing was measured: null, or not a number."""
    known = [one for one in hours if all(value is not None and value == value for value in one[1:])]
    return HourlySeries.model_validate({"kind": kind, "client": client, "operation": operation, "hours": known})
