"""Counts the users that an incident hits, where telemetry names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.queries import UserCount
from sinks.clickhouse.attribute_reads import SLOWER
from sinks.clickhouse.client import ClickHouse

USERS = """
WITH
    fromUnixTimestamp64Nano({before:Int64}, 'UTC') AS before, fromUnixTimestamp64Nano({start:Int64}, 'UTC') AS start,
    fromUnixTimestamp64Nano({end:Int64}, 'UTC') AS end,
    requests AS (
        SELECT service, name, trace_id, start_time >= start AS is_since, status_code = 2 AS is_failing, duration_ns
        FROM spans
        WHERE tenant = {tenant:String} AND service IN {services:Array(String)}
          AND start_time >= before AND start_time < end AND kind_code IN (2, 5)
    ),
    usual AS (
        SELECT service, name, quantile(0.95)(duration_ns) AS usual_ns FROM requests WHERE NOT is_since
        GROUP BY service, name HAVING count() >= 20
    ),
    bad AS (
        SELECT trace_id FROM requests LEFT JOIN usual USING (service, name)
        WHERE is_since AND (is_failing OR (usual_ns > 0 AND duration_ns > {slower:Float64} * usual_ns))
    )
SELECT uniqCombined64(user) AS users,
       uniqCombined64If(user, is_failing OR trace_id IN (SELECT trace_id FROM bad)) AS hit
FROM (
    SELECT if(attributes['user.id'] != '', attributes['user.id'], attributes['enduser.id']) AS user,
           status_code = 2 AS is_failing, trace_id
    FROM spans
    WHERE tenant = {tenant:String} AND start_time >= start AND start_time < end
      AND (kind_code IN (2, 5) OR parent_span_id = toFixedString('', 8))
      AND (mapContains(attributes, 'user.id') OR mapContains(attributes, 'enduser.id'))
) AS named WHERE user != ''
SETTINGS max_execution_time = 10
"""


def users_of(
    tenant: str, services: Sequence[str], before_ns: int, start_ns: int, end_ns: int
) -> dict[str, str | int | float | list[str]]:
    """Return the parameters of `USERS`: users since ``start_ns``; requests from ``before_ns`` on say what is slow."""
    return {
        "tenant": tenant, "services": list(services), "before": before_ns, "start": start_ns, "end": end_ns,
        "slower": SLOWER,
    }  # fmt: skip


async def user_count(clickhouse: ClickHouse, asked: Mapping[str, str | int | float | list[str]]) -> UserCount:
    """Return how many users spans name since ``start``, and how many of them are hit.

    A user is the attribute ``user.id``, or else ``enduser.id`` (OpenTelemetry semantic conventions), of a span that has
    no parent or serves a request. Hit is who has such a span that failed, or a trace in which a request to one of
    ``services`` failed or took longer than `SLOWER` times what 95 % of its operation took before. Counts of more than
    some hundred are estimates (HyperLogLog).
    """
    (row,) = await clickhouse.ask(USERS, asked)
    return UserCount(**row)
