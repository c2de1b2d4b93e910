"""Revisions of published panes: what is stored of them, what a new measurement changes, and the history of one.

A revision from late data has a version beyond every offset, so nothing that the windows may write again after a crash
takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.health import EdgeHealth, EdgeStats, Exemplars, OperationHealth, RedStats, ServiceHealth
from schemas.queries import PaneRevision
from sinks.clickhouse import panes as rows
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.pane_reads import instant
from sinks.clickhouse.panes import EDGE_COLUMNS, OPERATION_COLUMNS, SERVICE_COLUMNS

LATE_VERSIONS = 1 << 62
"""Versions of late revisions begin here; others are offsets of telemetry.rollups."""

_STANDING = frozenset({"pane_start", "version", "revision", "final", "cause", "late_items"})
"""Columns that say which telling it is, and not what is told."""

_STORED = """
SELECT {columns}, toUnixTimestamp64Nano(CAST(pane_start, 'DateTime64(9)')) AS pane_start_ns
FROM {table} FINAL
WHERE tenant = {{tenant:String}}
  AND has({{panes:Array(Int64)}}, toUnixTimestamp64Nano(CAST(pane_start, 'DateTime64(9)')))
  AND pane_start >= {{first:DateTime64(3, 'UTC')}} AND pane_start <= {{last:DateTime64(3, 'UTC')}}
"""

HISTORY = """
SELECT toUnixTimestamp64Nano(CAST(pane_start, 'DateTime64(9)')) AS pane_start_ns, revision, cause, final, requests,
       errors, p95_ms, self_p95_ms, window_requests, window_p95_ms,
       toInt64(toUnixTimestamp(stored_at)) * 1000000000 AS told_ns
FROM pane_revisions FINAL
WHERE tenant = {tenant:String} AND service = {service:String}
  AND pane_start >= {start:DateTime64(3, 'UTC')} AND pane_start < {end:DateTime64(3, 'UTC')}
  AND ({cause:String} = '' OR cause = {cause:String})
ORDER BY pane_start, revision
LIMIT {limit:UInt32}
"""

LATE_ITEMS = """
SELECT sum(late_items) FROM service_panes FINAL
WHERE tenant = {tenant:String} AND service = {service:String}
  AND pane_start >= {start:DateTime64(3, 'UTC')} AND pane_start < {end:DateTime64(3, 'UTC')}
"""


@dataclass(slots=True)
class StoredPane:
    """What is stored of one pane of one service or node."""

    service: dict[str, Any]
    operations: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    edges: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    def still_has(self, part: dict[str, Any]) -> bool:
        """Tell whether the picture has this operation or edge, and not only an earlier picture had."""
        return bool(part["version"] >= self.service["version"])

    def told(self) -> tuple[Any, ...]:
        """Return everything that is told, comparable with `told_by`; what has become nought is as good as absent."""
        return _told(self.service), _present(self.operations.values()), _present(self.edges.values())

    def items(self) -> int:
        """Return how many spans and log records are in it."""
        severities: dict[str, int] = self.service["log_severities"]
        requests: int = sum(row["requests"] for row in self.operations.values())
        return requests + sum(severities.values())


async def stored_panes(clickhouse: ClickHouse, tenant: str, panes: Sequence[int]) -> dict[tuple[str, int], StoredPane]:
    """Return what is stored of these panes (starts, ns) by (service, pane start)."""
    parameters = {
        "tenant": tenant, "panes": list(panes), "first": instant(min(panes)), "last": instant(max(panes)),
    }  # fmt: skip
    found: dict[tuple[str, int], StoredPane] = {}
    for row in await clickhouse.query(_stored("service_panes", SERVICE_COLUMNS), parameters):
        found[row["service"], row["pane_start_ns"]] = StoredPane(row)
    for row in await clickhouse.query(_stored("operation_panes", OPERATION_COLUMNS), parameters):
        if (pane := found.get((row["service"], row["pane_start_ns"]))) is not None and pane.still_has(row):
            pane.operations[row["operation"], row["kind"]] = row
    for row in await clickhouse.query(_stored("edge_panes", EDGE_COLUMNS), parameters):
        if (pane := found.get((row["server"], row["pane_start_ns"]))) is not None and pane.still_has(row):
            pane.edges[row["client"], row["connection_type"]] = row
    return found


def told_by(pane: ServiceHealth) -> tuple[Any, ...]:
    """Return everything that a picture tells, as `StoredPane.told` has it."""
    service = dict(zip(SERVICE_COLUMNS, rows.service_row(pane), strict=True))
    operations = [dict(zip(OPERATION_COLUMNS, row, strict=True)) for row in rows.operation_rows(pane)]
    edges = [dict(zip(EDGE_COLUMNS, row, strict=True)) for row in rows.edge_rows(pane)]
    return _told(service), _present(operations), _present(edges)


def items_in(pane: ServiceHealth) -> int:
    """Return how many spans and log records a picture tells of."""
    return sum(operation.pane.requests for operation in pane.operations) + sum(pane.log_severities.values())


def revised(pane: ServiceHealth, stored: StoredPane | None) -> ServiceHealth:
    """Return the picture as the next revision of what is stored; what was told and is no more is told as nought.

    Signatures stay as they were told live: what is new of them was judged by a memory that is not measured again.
    """
    if stored is None:
        standing = {"revision": 0, "version": LATE_VERSIONS, "final": True, "cause": "late", "signatures": []}
        return pane.model_copy(update=standing)
    operations = {(one.operation, one.kind) for one in pane.operations}
    edges = {(one.client, one.connection_type.value) for one in pane.edges_in}
    return pane.model_copy(
        update={
            "revision": stored.service["revision"] + 1,
            "version": max(stored.service["version"], LATE_VERSIONS) + 1,
            "final": True,
            "cause": "late",
            "late_items": stored.service["late_items"],
            "signatures": [],
            "operations": [*pane.operations, *(_no_operation(k) for k in stored.operations if k not in operations)],
            "edges_in": [*pane.edges_in, *(_no_edge(r) for k, r in stored.edges.items() if k not in edges)],
        }
    )


def emptied(tenant: str, service: str, pane_start_ns: int, stored: StoredPane) -> ServiceHealth:
    """Return the picture of a node of which nothing is left: an unknown callee that has become a service, say."""
    row = stored.service
    return ServiceHealth(
        tenant=tenant,
        service=service,
        node_kind=row["node_kind"],
        pane_start_ns=pane_start_ns,
        pane_s=row["pane_s"],
        window_s=row["window_s"],
        revision=0,
        final=True,
        pane=_nothing(),
        window=_nothing(),
        exemplars=Exemplars(),
    )


async def late_items(clickhouse: ClickHouse, tenant: str, service: str, start_ns: int, end_ns: int) -> int:
    """Return how many items of a service arrived in [start, end) after their pane had closed."""
    parameters = {"tenant": tenant, "service": service, "start": instant(start_ns), "end": instant(end_ns)}
    return int(await clickhouse.command(LATE_ITEMS, parameters))


async def history(
    clickhouse: ClickHouse, tenant: str, service: str, start_ns: int, end_ns: int, cause: str | None, limit: int
) -> list[PaneRevision]:
    """Return every telling of the panes of a service that start in [start, end), oldest pane first."""
    parameters = {
        "tenant": tenant, "service": service, "start": instant(start_ns), "end": instant(end_ns),
        "cause": cause or "", "limit": limit,
    }  # fmt: skip
    return [PaneRevision(**row) for row in await clickhouse.query(HISTORY, parameters)]


def _stored(table: str, columns: Sequence[str]) -> str:
    return _STORED.format(table=table, columns=", ".join(f"{table}.{name} AS {name}" for name in columns))


def _told(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, _plain(value)) for name, value in row.items() if name not in _STANDING and name != "pane_start_ns"
    )


def _present(found: Any) -> frozenset[tuple[tuple[str, Any], ...]]:
    return frozenset(_told(row) for row in found if row["requests"] or row["window_requests"])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    return tuple(value) if isinstance(value, list) else value


def _nothing() -> RedStats:
    return RedStats(requests=0, errors=0, rate_per_s=0.0, error_rate=0.0)


def _no_operation(key: tuple[Any, ...]) -> OperationHealth:
    return OperationHealth(operation=key[0], kind=key[1], pane=_nothing(), window=_nothing())


def _no_edge(row: dict[str, Any]) -> EdgeHealth:
    nothing = EdgeStats(requests=0, errors=0, paired=0, virtual=0, expired=0)
    return EdgeHealth(
        client=row["client"],
        client_kind=row["client_kind"],
        connection_type=row["connection_type"],
        pane=nothing,
        window=nothing,
    )
