"""Counts attribute values among the failing or slow spans of a service, and among the others."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.queries import AttributeCount
from sinks.clickhouse.client import ClickHouse

MAX_VALUES = 50
"""A key with more values than this (an id, a URL) separates nothing."""

MAX_COUNTS = 2_000
MAX_VALUE_CHARS = 256

COUNTS = """
WITH
    fromUnixTimestamp64Nano({before:Int64}, 'UTC') AS before, fromUnixTimestamp64Nano({start:Int64}, 'UTC') AS start,
    fromUnixTimestamp64Nano({end:Int64}, 'UTC') AS end,
    requests AS (
        SELECT name, start_time >= start AS is_since, status_code = 2 AS is_failing, duration_ns,
               attributes, resource_attributes
        FROM spans
        WHERE tenant = {tenant:String} AND service = {service:String} AND start_time >= before AND start_time < end
          AND kind_code IN (2, 5)
    ),
    usual AS (
        SELECT name, quantile(0.95)(duration_ns) AS usual_ns FROM requests WHERE NOT is_since
        GROUP BY name HAVING count() >= 20
    ),
    judged AS (
        SELECT is_since AND (is_failing OR (usual_ns > 0 AND duration_ns > {slower:Float64} * usual_ns)) AS is_bad,
               attributes, resource_attributes
        FROM requests LEFT JOIN usual USING (name)
    ),
    totals AS (SELECT countIf(is_bad) AS bad_total, countIf(NOT is_bad) AS normal_total FROM judged)
SELECT source, key, value, countIf(is_bad) AS bad, any(bad_total) AS bad_total,
       countIf(NOT is_bad) AS normal, any(normal_total) AS normal_total
FROM (
    SELECT is_bad, pair.1 AS source, pair.2 AS key, substring(pair.3, 1, {chars:UInt32}) AS value
    FROM judged
    ARRAY JOIN arrayConcat(
        arrayMap((k, v) -> ('resource', toString(k), v), mapKeys(resource_attributes), mapValues(resource_attributes)),
        arrayMap((k, v) -> ('span', toString(k), v), mapKeys(attributes), mapValues(attributes))) AS pair
) AS values_seen CROSS JOIN totals
GROUP BY source, key, value
QUALIFY count() OVER (PARTITION BY source, key) <= {values:UInt32}
ORDER BY bad DESC, source, key, value
LIMIT {limit:UInt32}
SETTINGS max_execution_time = 20
"""

SLOWER = 1.5
"""A request is slow from this many times its operation's 95th percentile before the onset."""


def asked_of(tenant: str, service: str, before_ns: int, start_ns: int, end_ns: int) -> dict[str, str | int | float]:
    """Return the parameters of `COUNTS`: requests since ``start_ns`` against those from ``before_ns`` on."""
    return {
        "tenant": tenant, "service": service, "before": before_ns, "start": start_ns, "end": end_ns,
        "slower": SLOWER, "chars": MAX_VALUE_CHARS, "values": MAX_VALUES, "limit": MAX_COUNTS,
    }  # fmt: skip


async def attribute_counts(clickhouse: ClickHouse, asked: Mapping[str, str | int | float]) -> list[AttributeCount]:
    """Return the values that requests of a service have, counted among bad and other ones, the most frequent first.

    Bad are those since ``start`` that failed, or took longer than `SLOWER` times what 95 % of the same operation took
    before. Keys with more than `MAX_VALUES` values are left out. `asked` is what `asked_of` returns.
    """
    return [AttributeCount(**row) for row in await clickhouse.ask(COUNTS, asked)]
