"""Reads published windows. Every question names a tenant, and every value is bound by ClickHouse.

A picture replaces the earlier one of its pane as a whole, but its operations and edges are rows of their own: one that
the newer picture does not have any more stays behind with its older version, and is not read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.health import EdgeStats, RedStats
from schemas.queries import HealthPoint, MapEdge, ServiceSummary, SignatureSummary
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.panes import EDGE, RED

SERVICES = """
SELECT *, toUnixTimestamp64Nano(CAST(pane_start, 'DateTime64(9)')) AS pane_start_ns
FROM service_panes FINAL
WHERE tenant = {tenant:String} AND pane_start > {after:DateTime64(3, 'UTC')} AND pane_start <= {at:DateTime64(3, 'UTC')}
  AND ({service:String} = '' OR service = {service:String})
ORDER BY service, pane_start DESC
LIMIT 1 BY service
LIMIT {limit:UInt32}
"""

SERIES = """
SELECT *, toUnixTimestamp64Nano(CAST(pane_start, 'DateTime64(9)')) AS pane_start_ns
FROM service_panes FINAL
WHERE tenant = {tenant:String} AND service = {service:String}
  AND pane_start >= {start:DateTime64(3, 'UTC')} AND pane_start < {end:DateTime64(3, 'UTC')}
ORDER BY pane_start
LIMIT {limit:UInt32}
"""

OPERATION_SERIES = """
SELECT o.* EXCEPT (version), s.revision AS revision, s.final AS final, s.pane_s AS pane_s, s.window_s AS window_s,
       toUnixTimestamp64Nano(CAST(o.pane_start, 'DateTime64(9)')) AS pane_start_ns
FROM (
    SELECT * EXCEPT (stored_at) FROM operation_panes FINAL
    WHERE tenant = {tenant:String} AND service = {service:String} AND operation = {operation:String}
      AND pane_start >= {start:DateTime64(3, 'UTC')} AND pane_start < {end:DateTime64(3, 'UTC')}
    ORDER BY kind IN ('server', 'consumer') DESC, requests DESC
    LIMIT 1 BY pane_start
) AS o
INNER JOIN (
    SELECT pane_start, version, revision, final, pane_s, window_s FROM service_panes FINAL
    WHERE tenant = {tenant:String} AND service = {service:String}
      AND pane_start >= {start:DateTime64(3, 'UTC')} AND pane_start < {end:DateTime64(3, 'UTC')}
) AS s ON o.pane_start = s.pane_start
WHERE o.version >= s.version
ORDER BY pane_start_ns
LIMIT {limit:UInt32}
"""

EDGES = """
SELECT e.*, toUnixTimestamp64Nano(CAST(e.pane_start, 'DateTime64(9)')) AS pane_start_ns
FROM (
    SELECT * FROM edge_panes FINAL
    WHERE tenant = {tenant:String}
      AND pane_start > {after:DateTime64(3, 'UTC')} AND pane_start <= {at:DateTime64(3, 'UTC')}
) AS e
INNER JOIN (
    SELECT service, pane_start, version FROM service_panes FINAL
    WHERE tenant = {tenant:String}
      AND pane_start > {after:DateTime64(3, 'UTC')} AND pane_start <= {at:DateTime64(3, 'UTC')}
) AS s ON e.server = s.service AND e.pane_start = s.pane_start
WHERE e.version >= s.version
ORDER BY server, client, connection_type, pane_start DESC
LIMIT 1 BY server, client, connection_type
LIMIT {limit:UInt32}
"""

SIGNATURES = """
SELECT p.signature AS signature, argMax(p.kind, p.pane_start) AS kind, argMax(p.template, p.pane_start) AS template,
       argMax(p.severity, p.pane_start) AS severity, sum(p.lines) AS lines,
       toUnixTimestamp64Nano(CAST(min(p.first_seen), 'DateTime64(9)')) AS first_seen_ns,
       toUnixTimestamp64Nano(CAST(max(p.pane_start), 'DateTime64(9)')) AS last_seen_ns,
       arraySort(groupArray((toUnixTimestamp64Nano(CAST(p.pane_start, 'DateTime64(9)')), p.lines))) AS panes,
       argMin(p.sample, p.pane_start) AS sample, argMin(p.sample_trace_id, p.pane_start) AS sample_trace_id
FROM signature_panes AS p FINAL
WHERE p.tenant = {tenant:String} AND p.service = {service:String}
  AND p.pane_start >= {start:DateTime64(3, 'UTC')} AND p.pane_start < {end:DateTime64(3, 'UTC')}
GROUP BY p.signature
ORDER BY lines DESC, signature
LIMIT {limit:UInt32}
"""

MAX_ROWS = 10_000


async def services(
    clickhouse: ClickHouse, tenant: str, at_ns: int, *, service: str = "", within_s: int = 3600, limit: int = 1000
) -> list[ServiceSummary]:
    """Return each service's newest window at an instant, by name; only ``service`` if one is named.

    A service of which nothing was published in the ``within_s`` before is not there.
    """
    rows = await clickhouse.query(
        SERVICES,
        {"tenant": tenant, "at": instant(at_ns), "after": instant(at_ns, within_s), "service": service, "limit": limit},
    )
    return [
        ServiceSummary(
            service=row["service"],
            node_kind=row["node_kind"],
            pane_start_ns=row["pane_start_ns"],
            window_s=row["window_s"],
            window=_red(row, "window_", row["window_s"]),
            failing_traces=row["failing_traces"],
            slow_traces=row["slow_traces"],
        )
        for row in rows
    ]


async def health_series(
    clickhouse: ClickHouse,
    tenant: str,
    service: str,
    start_ns: int,
    end_ns: int,
    operation: str | None = None,
    limit: int = MAX_ROWS,
) -> list[HealthPoint]:
    """Return the panes of a service, or of one of its operations, that start in [start, end), oldest first."""
    parameters: dict[str, Any] = {
        "tenant": tenant, "service": service, "start": instant(start_ns), "end": instant(end_ns), "limit": limit,
    }  # fmt: skip
    if operation is None:
        rows = await clickhouse.query(SERIES, parameters)
    else:
        rows = await clickhouse.query(OPERATION_SERIES, {**parameters, "operation": operation})
    return [_point(row) for row in rows]


async def signatures(
    clickhouse: ClickHouse, tenant: str, service: str, start_ns: int, end_ns: int, limit: int = 200
) -> list[SignatureSummary]:
    """Return the error signatures in the panes of a service that start in [start, end), most lines first."""
    rows = await clickhouse.query(
        SIGNATURES,
        {"tenant": tenant, "service": service, "start": instant(start_ns), "end": instant(end_ns), "limit": limit},
    )
    return [SignatureSummary(**row) for row in rows]


async def edges_at(
    clickhouse: ClickHouse, tenant: str, at_ns: int, within_s: int = 300, limit: int = MAX_ROWS
) -> list[MapEdge]:
    """Return the service map at an instant: each edge's newest window of the ``within_s`` before."""
    rows = await clickhouse.query(
        EDGES, {"tenant": tenant, "at": instant(at_ns), "after": instant(at_ns, within_s), "limit": limit}
    )
    return [
        MapEdge(
            client=row["client"],
            client_kind=row["client_kind"],
            server=row["server"],
            server_kind=row["server_kind"],
            connection_type=row["connection_type"],
            pane_start_ns=row["pane_start_ns"],
            window=EdgeStats(**{name: row[f"window_{name}"] for name in EDGE}),
        )
        for row in rows
    ]


def _point(row: dict[str, Any]) -> HealthPoint:
    return HealthPoint(
        pane_start_ns=row["pane_start_ns"],
        revision=row["revision"],
        final=row["final"],
        pane=_red(row, "", row["pane_s"]),
        window=_red(row, "window_", row["window_s"]),
        **{
            name: row[name]
            for name in ("log_severities", "slow_traces", "failing_traces", "normal_traces", "late_items", "cause")
            if name in row
        },
    )


def _red(row: dict[str, Any], prefix: str, seconds: int) -> RedStats:
    values = {name: row[prefix + name] for name in RED}
    requests = values["requests"]
    return RedStats(
        **values, rate_per_s=requests / seconds, error_rate=values["errors"] / requests if requests else 0.0
    )


def instant(instant_ns: int, back_s: int = 0) -> datetime:
    """Return an instant as ClickHouse's parameters take it, ``back_s`` earlier."""
    return datetime.fromtimestamp(instant_ns // 1_000_000 / 1000, UTC) - timedelta(seconds=back_s)
