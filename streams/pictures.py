"""Turn pane contents into the numbers people read: rates, quantiles, one `ServiceHealth` a pane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.health import (
    ConnectionType,
    EdgeHealth,
    EdgeStats,
    Exemplars,
    InstanceHealth,
    NodeKind,
    OperationHealth,
    Passage,
    RedStats,
    ServiceHealth,
    Tier,
    VersionHealth,
)
from streams.contents import ENTRY_KINDS, EdgeTally, OperationTally, PaneContents, PartTally, SpanKind
from streams.latency import Bins, count_over, quantiles_ns
from streams.otlp.resources import TIERS
from streams.signatures.counts import MAX_SIGNATURES, signature_counts
from streams.signatures.templates import TemplateTree
from streams.windows import SECOND_NS, WindowConfig

KindName = Literal["server", "consumer", "internal", "client", "producer", "unspecified"]

_KIND_NAMES: Final[dict[int, KindName]] = {
    SpanKind.UNSPECIFIED: "unspecified",
    SpanKind.INTERNAL: "internal",
    SpanKind.SERVER: "server",
    SpanKind.CLIENT: "client",
    SpanKind.PRODUCER: "producer",
    SpanKind.CONSUMER: "consumer",
}

MAX_OPERATIONS = 60
"""Operations a ServiceHealth lists: those with most requests in the window."""

MAX_EDGES_IN = 200
"""Incoming edges a ServiceHealth lists."""

MAX_INSTANCES = 50
"""Instances a ServiceHealth lists: those with most requests in the pane."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which picture this is: whose, of which pane, and how settled."""

    tenant: str
    service: str
    node_kind: NodeKind
    pane_start_ns: int
    revision: int
    version: int
    driven: bool
    final: bool


def picture_of(
    standing: Standing,
    pane: PaneContents,
    window: PaneContents,
    config: WindowConfig,
    templates: TemplateTree | None = None,
    entries_only: bool = False,
) -> ServiceHealth:
    """Return the picture of one node: its pane, and the sliding window that ends with it.

    ``templates`` has learned the shapes of both. With ``entries_only`` no operations are listed but those that requests
    come in by, as far as they are among those with most requests of all.
    """
    pane_s, window_s = config.pane_ns // SECOND_NS, config.window_ns // SECOND_NS
    by_edges = standing.node_kind is not NodeKind.SERVICE or not _entries(window)
    whole = _whole(pane, by_edges)
    return ServiceHealth(
        tenant=standing.tenant,
        service=standing.service,
        node_kind=standing.node_kind,
        pane_start_ns=standing.pane_start_ns,
        pane_s=pane_s,
        window_s=window_s,
        revision=standing.revision,
        version=standing.version,
        driven=standing.driven,
        final=standing.final,
        pane=_red(whole, pane_s),
        window=_red(_whole(window, by_edges), window_s),
        operations=_operations(pane, window, pane_s, window_s, ENTRY_KINDS if entries_only else tuple(SpanKind)),
        edges_in=_edges(pane, window),
        log_severities=dict(pane.log_severities),
        log_severities_window=dict(window.log_severities),
        exemplars=Exemplars(
            slow=[trace_id.hex() for _, trace_id in pane.samples.slow],
            failing=[trace_id.hex() for _, trace_id in pane.samples.failing],
            normal=[trace_id.hex() for _, trace_id in pane.samples.normal],
        ),
        passages=_passages(pane),
        signatures=signature_counts(
            pane.signatures, window.signatures, templates or TemplateTree(), standing.pane_start_ns
        ),
        instances=_instances(pane),
        versions=_versions(pane),
        late_items=pane.late_items,
        tier=Tier(TIERS[pane.tier]) if pane.tier else None,
        slow_requests=_slow(whole, config.slow_ns),
    )


def unlisted(contents: PaneContents, picture: ServiceHealth) -> int:
    """Return how many requests and error lines of a pane belong to parts for which its picture has no room."""
    left = 0
    if len(picture.operations) == MAX_OPERATIONS:
        left += _beyond(contents.operations.values(), (one.pane.requests for one in picture.operations))
    if len(picture.edges_in) == MAX_EDGES_IN:
        left += _beyond(contents.edges.values(), (one.pane.requests for one in picture.edges_in))
    if len(picture.instances) == MAX_INSTANCES:
        left += _beyond(contents.instances.values(), (one.requests for one in picture.instances))
    if len(picture.signatures) == MAX_SIGNATURES:
        lines = sum(one.lines for one in contents.signatures.values())
        left += max(0, lines - sum(one.pane for one in picture.signatures))
    return left


def _beyond(all_there_are: Iterable[OperationTally | EdgeTally | PartTally], listed: Iterable[int]) -> int:
    return max(0, sum(one.requests for one in all_there_are) - sum(listed))


def _passages(contents: PaneContents) -> list[Passage]:
    return [
        Passage(
            entry=entry, traces=tally.traces, failing=tally.failing, origins=tally.origins,
            durations=dict(sorted(tally.durations.items())), people=tally.people.text(),
        )
        for entry, tally in sorted(contents.passages.items())
    ]  # fmt: skip


def _instances(contents: PaneContents) -> list[InstanceHealth]:
    return [
        InstanceHealth(instance=name, **_part(tally)) for name, tally in _largest(contents.instances)[:MAX_INSTANCES]
    ]


def _versions(contents: PaneContents) -> list[VersionHealth]:
    return [VersionHealth(version=name, **_part(tally)) for name, tally in _largest(contents.versions)]


def _largest(parts: Mapping[str, PartTally]) -> list[tuple[str, PartTally]]:
    return sorted(parts.items(), key=lambda item: (-item[1].requests, item[0]))


def _part(tally: PartTally) -> dict[str, Any]:
    return {
        "requests": tally.requests,
        "errors": tally.errors,
        "p95_ms": _ms(tally.latency, (0.95,))[0],
        "durations": dict(sorted(tally.latency.items())),
    }


def _entries(contents: PaneContents) -> list[OperationTally]:
    return [tally for (_, kind), tally in contents.operations.items() if kind in ENTRY_KINDS]


def _slow(tally: OperationTally, slow_ns: int) -> int:
    """Return how many requests surely took longer; never more than there are, as `_red` counts them."""
    return min(max(count_over(tally.latency, slow_ns), 0), max(tally.requests, 0)) if slow_ns else 0


def _whole(contents: PaneContents, by_edges: bool) -> OperationTally:
    """Sum up a node: its entry operations, or its incoming edges as their clients saw them."""
    total = OperationTally()
    if by_edges:
        for edge in contents.edges.values():
            total.add(OperationTally(edge.requests, edge.errors, edge.client or edge.server))
    else:
        for tally in _entries(contents):
            total.add(tally)
    return total


def _red(tally: OperationTally, length_s: int) -> RedStats:
    """Sum up an operation. Never below nothing: what is taken back may have been counted beyond a cap, or late."""
    requests = max(tally.requests, 0)
    errors = min(max(tally.errors, 0), requests)
    p50, p95, p99 = _ms(tally.latency, (0.5, 0.95, 0.99))
    self_p50, self_p95 = _ms(tally.self_time, (0.5, 0.95))
    return RedStats(
        requests=requests,
        errors=errors,
        rate_per_s=requests / length_s,
        error_rate=errors / requests if requests else 0.0,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        self_p50_ms=self_p50,
        self_p95_ms=self_p95,
    )


def _ms(bins: Bins, qs: tuple[float, ...]) -> list[float | None]:
    if not bins:  # as in windows that are counted alone
        return [None] * len(qs)
    return [None if value_ns is None else value_ns / 1e6 for value_ns in quantiles_ns(bins, qs)]


def _operations(
    pane: PaneContents, window: PaneContents, pane_s: int, window_s: int, kinds: tuple[SpanKind, ...]
) -> list[OperationHealth]:
    largest = sorted(window.operations, key=lambda key: (-window.operations[key].requests, key))
    return [
        OperationHealth(
            operation=operation,
            kind=_KIND_NAMES[kind],
            pane=_red(pane.operations.get((operation, kind), OperationTally()), pane_s),
            window=_red(window.operations[operation, kind], window_s),
        )
        for operation, kind in largest[:MAX_OPERATIONS]
        if kind in kinds
    ]


def _edges(pane: PaneContents, window: PaneContents) -> list[EdgeHealth]:
    largest = sorted(window.edges, key=lambda key: (-window.edges[key].requests, key))
    return [
        EdgeHealth(
            client=client,
            client_kind=NodeKind(client_kind),
            connection_type=ConnectionType(connection),
            pane=_edge(pane.edges.get((client, client_kind, connection), EdgeTally())),
            window=_edge(window.edges[client, client_kind, connection]),
        )
        for client, client_kind, connection in largest[:MAX_EDGES_IN]
    ]


def _edge(tally: EdgeTally) -> EdgeStats:
    client_p50, client_p95 = _ms(tally.client, (0.5, 0.95))
    server_p50, server_p95 = _ms(tally.server, (0.5, 0.95))
    gap_p50, gap_p95 = _ms(tally.gap, (0.5, 0.95))
    return EdgeStats(
        requests=tally.requests,
        errors=tally.errors,
        paired=tally.paired,
        virtual=tally.virtual,
        expired=tally.expired,
        client_p50_ms=client_p50,
        client_p95_ms=client_p95,
        server_p50_ms=server_p50,
        server_p95_ms=server_p95,
        gap_p50_ms=gap_p50,
        gap_p95_ms=gap_p95,
    )
