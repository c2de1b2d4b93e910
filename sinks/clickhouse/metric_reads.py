"""Reads the points of a service's gauges and counters, series by series."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.queries import MetricSeries
from sinks.clickhouse.client import ClickHouse

MAX_SERIES = 200
MAX_POINTS = 2_000

POINTS = """
SELECT metric, any(unit) AS unit, max(type = 'sum' AND temporality = 'cumulative' AND is_monotonic) AS is_cumulative,
       instance, attributes, arraySort(groupArray({points:UInt32})((unix_nano, assumeNotNull(value)))) AS points
FROM (
    SELECT metric, unit, type, temporality, is_monotonic, resource_attributes['service.instance.id'] AS instance,
           attributes, resource_attributes, unix_nano, value
    FROM metric_points
    WHERE tenant = {tenant:String} AND service = {service:String} AND type IN ('gauge', 'sum')
      AND time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') AND time < fromUnixTimestamp64Nano({end:Int64}, 'UTC')
      AND isFinite(value)
    ORDER BY time DESC
    LIMIT {points:UInt32} BY metric, attributes, resource_attributes
)
GROUP BY metric, instance, attributes, resource_attributes
ORDER BY metric, instance, toString(attributes)
LIMIT {limit:UInt32}
SETTINGS max_execution_time = 20
"""


def points_of(tenant: str, service: str, start_ns: int, end_ns: int) -> dict[str, str | int | float]:
    """Return the parameters of `POINTS`: what a service reported from ``start_ns`` up to ``end_ns``."""
    return {
        "tenant": tenant, "service": service, "start": start_ns, "end": end_ns, "points": MAX_POINTS,
        "limit": MAX_SERIES,
    }  # fmt: skip


async def metric_series(clickhouse: ClickHouse, asked: Mapping[str, str | int | float]) -> list[MetricSeries]:
    """Return the series of a service by name, the newest points of each; `asked` is what `points_of` returns."""
    return [
        MetricSeries(
            unix_nano=[when for when, _ in row["points"]], values=[value for _, value in row["points"]],
            **{key: value for key, value in row.items() if key != "points"},
        )
        for row in await clickhouse.ask(POINTS, asked)
    ]  # fmt: skip
