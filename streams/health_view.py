"""Read the counts and sketches of a node's panes into a `ServiceHealth`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from schemas.events import (
    ConnectionType,
    EdgeHealth,
    EdgeStats,
    Exemplars,
    NodeKind,
    OperationHealth,
    RedStats,
    ServiceHealth,
)
from streams.latency import Bins, merge, quantile_ms, quantiles_ns
from streams.partials import ENTRY_KINDS, EdgeTally, OperationTally, PaneContents, Sample
from streams.windows import SECOND_NS, WindowConfig

KindName = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]

KIND_NAMES: tuple[KindName, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Names of OTLP's span kinds, by number."""


class NodePanes(NamedTuple):
    """A node, one pane of it, and the merge of the panes of the window that ends with that pane."""

    tenant: str
    service: str
    node_kind: NodeKind
    pane_start_ns: int
    config: WindowConfig
    pane: PaneContents
    window: PaneContents
    driven: bool


def view(panes: NodePanes, *, revision: int, version: int, final: bool) -> ServiceHealth:
    """Return the health of a node in one pane."""
    pane_s, window_s = panes.config.pane_ns // SECOND_NS, panes.config.window_ns // SECOND_NS
    red = _entry_stats if panes.node_kind is NodeKind.SERVICE else _incoming_stats
    return ServiceHealth(
        tenant=panes.tenant,
        service=panes.service,
        node_kind=panes.node_kind,
        pane_start_ns=panes.pane_start_ns,
        pane_s=pane_s,
        window_s=window_s,
        revision=revision,
        version=version,
        driven=panes.driven,
        final=final,
        pane=red(panes.pane, pane_s),
        window=red(panes.window, window_s),
        operations=_operations(panes, pane_s, window_s),
        edges_in=_edges(panes),
        log_severities=panes.pane.log_severities,
        log_severities_window=panes.window.log_severities,
        exemplars=Exemplars(
            slow=_trace_ids(panes.pane.samples.slow),
            failing=_trace_ids(panes.pane.samples.failing),
            normal=_trace_ids(panes.pane.samples.normal),
        ),
        late_items=panes.pane.late_items,
    )


def _trace_ids(samples: Iterable[Sample]) -> list[str]:
    return [trace_id.hex() for _, trace_id in samples]


def _red(requests: int, errors: int, seconds: int, latency: Bins, self_time: Bins) -> RedStats:
    p50, p95, p99 = (None if ns is None else ns / 1e6 for ns in quantiles_ns(latency, (0.5, 0.95, 0.99)))
    return RedStats(
        requests=requests,
        errors=errors,
        rate_per_s=requests / seconds,
        error_rate=errors / requests if requests else 0.0,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        self_p50_ms=quantile_ms(self_time, 0.5),
        self_p95_ms=quantile_ms(self_time, 0.95),
    )


def _operation_stats(tally: OperationTally, seconds: int) -> RedStats:
    return _red(tally.requests, tally.errors, seconds, tally.latency, tally.self_time)


def _entry_stats(contents: PaneContents, seconds: int) -> RedStats:
    """Sum up what came in: server and consumer spans."""
    total = OperationTally()
    for (_, kind), tally in contents.operations.items():
        if kind in ENTRY_KINDS:
            total.add(tally)
    return _operation_stats(total, seconds)


def _incoming_stats(contents: PaneContents, seconds: int) -> RedStats:
    """Sum up what others say of a node that sends no spans of its own."""
    tallies = contents.edges.values()
    requests, errors = sum(t.requests for t in tallies), sum(t.errors for t in tallies)
    return _red(requests, errors, seconds, merge(t.server or t.client for t in tallies), {})


def _operations(panes: NodePanes, pane_s: int, window_s: int) -> list[OperationHealth]:
    absent = OperationTally()
    return [
        OperationHealth(
            operation=operation,
            kind=KIND_NAMES[kind] if kind < len(KIND_NAMES) else "unspecified",
            pane=_operation_stats(panes.pane.operations.get((operation, kind), absent), pane_s),
            window=_operation_stats(tally, window_s),
        )
        for (operation, kind), tally in sorted(panes.window.operations.items())
    ]


def _edges(panes: NodePanes) -> list[EdgeHealth]:
    absent = EdgeTally()
    return [
        EdgeHealth(
            client=key[0],
            client_kind=NodeKind(key[1]),
            connection_type=ConnectionType(key[2]),
            pane=_edge_stats(panes.pane.edges.get(key, absent)),
            window=_edge_stats(tally),
        )
        for key, tally in sorted(panes.window.edges.items())
    ]


def _edge_stats(tally: EdgeTally) -> EdgeStats:
    return EdgeStats(
        requests=tally.requests,
        errors=tally.errors,
        paired=tally.paired,
        virtual=tally.virtual,
        expired=tally.expired,
        client_p50_ms=quantile_ms(tally.client, 0.5),
        client_p95_ms=quantile_ms(tally.client, 0.95),
        server_p50_ms=quantile_ms(tally.server, 0.5),
        server_p95_ms=quantile_ms(tally.server, 0.95),
        gap_p50_ms=quantile_ms(tally.gap, 0.5),
        gap_p95_ms=quantile_ms(tally.gap, 0.95),
    )
