"""Writes published windows: services, their operations and error signatures, and the edges into them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.health import EdgeStats, RedStats, ServiceHealth
from sinks.clickhouse.client import ClickHouse

RED = ("requests", "errors", "p50_ms", "p95_ms", "p99_ms", "self_p50_ms", "self_p95_ms")
EDGE = (
    "requests", "errors", "paired", "virtual", "expired", "client_p50_ms", "client_p95_ms",
    "server_p50_ms", "server_p95_ms", "gap_p50_ms", "gap_p95_ms",
)  # fmt: skip

SERVICE_COLUMNS = (
    "tenant", "service", "pane_start", "version", "node_kind", "pane_s", "window_s", "revision", "final",
    "cause",
    *RED, *(f"window_{name}" for name in RED),
    "log_severities", "slow_traces", "failing_traces", "normal_traces", "late_items", "slow_requests",
)  # fmt: skip
OPERATION_COLUMNS = (
    "tenant", "service", "operation", "kind", "pane_start", "version", *RED, *(f"window_{name}" for name in RED),
)  # fmt: skip
EDGE_COLUMNS = (
    "tenant", "server", "client", "connection_type", "pane_start", "version", "server_kind", "client_kind",
    *EDGE, *(f"window_{name}" for name in EDGE),
)  # fmt: skip

SIGNATURE_COLUMNS = (
    "tenant", "service", "signature", "pane_start", "version", "kind", "template", "severity", "lines", "first_seen",
    "sample", "sample_trace_id",
)  # fmt: skip

Row = list[Any]


class PaneSink:
    """Writes panes so that a later picture of the same pane replaces the earlier."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def write_panes(self, panes: Sequence[ServiceHealth]) -> None:
        """Store the panes; writing them again changes nothing.

        The parts go first, so that who sees a service's pane finds its parts.
        Raises `StoreUnavailable` or `StoreRejected`.
        """
        operations = [row for pane in panes for row in operation_rows(pane)]
        edges = [row for pane in panes for row in edge_rows(pane)]
        signatures = [row for pane in panes for row in _signature_rows(pane)]
        await self._clickhouse.insert_rows("signature_panes", SIGNATURE_COLUMNS, signatures)
        await self._clickhouse.insert_rows("operation_panes", OPERATION_COLUMNS, operations)
        await self._clickhouse.insert_rows("edge_panes", EDGE_COLUMNS, edges)
        await self._clickhouse.insert_rows("service_panes", SERVICE_COLUMNS, [service_row(pane) for pane in panes])


def service_row(pane: ServiceHealth) -> Row:
    """Return a picture as a row of ``service_panes``."""
    return [
        pane.tenant, pane.service, _instant(pane), pane.version, pane.node_kind.value, pane.pane_s, pane.window_s,
        pane.revision, pane.final, pane.cause, *_red(pane.pane), *_red(pane.window), pane.log_severities,
        pane.exemplars.slow, pane.exemplars.failing, pane.exemplars.normal, pane.late_items, pane.slow_requests,
    ]  # fmt: skip


def operation_rows(pane: ServiceHealth) -> list[Row]:
    """Return a picture's operations as rows of ``operation_panes``."""
    head = [pane.tenant, pane.service]
    return [
        [*head, o.operation, o.kind, _instant(pane), pane.version, *_red(o.pane), *_red(o.window)]
        for o in pane.operations
    ]


def edge_rows(pane: ServiceHealth) -> list[Row]:
    """Return the edges into a node as rows of ``edge_panes``."""
    return [
        [
            pane.tenant, pane.service, edge.client, edge.connection_type.value, _instant(pane), pane.version,
            pane.node_kind.value, edge.client_kind.value, *_edge(edge.pane), *_edge(edge.window),
        ]
        for edge in pane.edges_in
    ]  # fmt: skip


def _signature_rows(pane: ServiceHealth) -> list[Row]:
    return [
        [
            pane.tenant, pane.service, one.signature, _instant(pane), pane.version, one.kind, one.template,
            one.severity, one.pane, datetime.fromtimestamp(one.first_seen_ns // 1_000_000_000, UTC), one.sample,
            one.sample_trace_id,
        ]
        for one in pane.signatures
        if one.pane
    ]  # fmt: skip


def _red(stats: RedStats) -> Row:
    return [getattr(stats, name) for name in RED]


def _edge(stats: EdgeStats) -> Row:
    return [getattr(stats, name) for name in EDGE]


def _instant(pane: ServiceHealth) -> datetime:
    return datetime.fromtimestamp(pane.pane_start_ns // 1_000_000_000, UTC)
