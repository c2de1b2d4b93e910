"""Pictures of made services, pane by pane: what the detection tests feed their folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.deviations import EdgeSummary, SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import ConnectionType, EdgeHealth, EdgeStats, NodeKind, OperationHealth, RedStats, ServiceHealth

SECOND_NS = 1_000_000_000
PANE_NS = 10 * SECOND_NS
START_NS = 1_700_000_000 * SECOND_NS


def pane_start(number: int) -> int:
    """Return the start of a pane counted from the first."""
    return START_NS + number * PANE_NS


def red(requests: int, *, errors: int = 0, p95_ms: float = 50.0, own_ms: float = 5.0) -> RedStats:
    """Return statistics of a pane; nothing is measured of no requests."""
    ratio = errors / requests if requests else 0.0
    if not requests:
        return RedStats(requests=0, errors=0, rate_per_s=0, error_rate=0)
    return RedStats(
        requests=requests, errors=errors, rate_per_s=requests / 10, error_rate=ratio, p50_ms=p95_ms / 2, p95_ms=p95_ms,
        p99_ms=p95_ms, self_p50_ms=own_ms, self_p95_ms=own_ms * 1.5,
    )  # fmt: skip


def edge(client: str, requests: int, *, gap_ms: float = 3.0, errors: int = 0, kind: str = "service") -> EdgeHealth:
    """Return an incoming edge."""
    stats = EdgeStats(
        requests=requests, errors=errors, paired=requests, virtual=0, expired=0, client_p50_ms=20 + gap_ms,
        client_p95_ms=50 + gap_ms, server_p50_ms=20, server_p95_ms=50, gap_p50_ms=gap_ms, gap_p95_ms=gap_ms * 1.5,
    )  # fmt: skip
    connection = ConnectionType.VIRTUAL if kind == "client" else ConnectionType.REQUEST
    return EdgeHealth(
        client=client, client_kind=NodeKind(kind), connection_type=connection, pane=stats, window=stats
    )  # fmt: skip


def health(
    service: str, pane: int, requests: int = 50, *, errors: int = 0, own_ms: float = 5.0,
    edges: Sequence[EdgeHealth] = (),
    logs: dict[str, int] | None = None, revision: int = 0, window_requests: int | None = None, driven: bool = False,
) -> ServiceHealth:  # fmt: skip
    """Return a service's picture of one pane."""
    stats = red(requests, errors=errors, own_ms=own_ms)
    window = red(requests * 6 if window_requests is None else window_requests, errors=errors, own_ms=own_ms)
    operations = [OperationHealth(operation="GET /", kind="server", pane=stats, window=window)] if requests else []
    return ServiceHealth(
        tenant="acme", service=service, node_kind=NodeKind.SERVICE, pane_start_ns=pane_start(pane), pane_s=10,
        window_s=60, revision=revision, final=False, pane=stats, window=window, operations=operations,
        edges_in=list(edges), log_severities=logs or {}, driven=driven,
    )  # fmt: skip


def score(
    kind: SeriesKind, pane: int, *, value: float = 400.0, median: float = 3.0, strength: float = 100.0,
    client: str | None = None, since: int | None = None, deviating: bool = True,
) -> SeriesScore:  # fmt: skip
    """Return a series that deviates since a pane."""
    return SeriesScore(
        kind=kind, edge_client=client, value=value, median=median, scale=2.0, score=strength,
        unit="per_s" if kind is SeriesKind.REQUEST_RATE else "ms", requests=20,
        evidence=1.2 if deviating else 0.0, deviating=deviating,
        since_ns=pane_start(pane if since is None else since) if deviating else None,
    )  # fmt: skip


def deviations(
    service: str, pane: int, series: Iterable[SeriesScore] = (), *, requests: int = 50, errors: int = 0,
    callers: Sequence[str] = (), entry: bool = False, kind: NodeKind = NodeKind.SERVICE, driven: bool = False,
    failed: int = 0,
) -> ServiceDeviations:  # fmt: skip
    """Return what is known of a service in a pane: its series, and who called it (`failed` requests each)."""
    edges = [
        EdgeSummary(
            client=name, client_kind=NodeKind.SERVICE, connection_type=ConnectionType.REQUEST, requests=requests,
            errors=failed,
        )
        for name in callers
    ]  # fmt: skip
    if entry:
        edges.append(
            EdgeSummary(
                client="client", client_kind=NodeKind.CLIENT, connection_type=ConnectionType.VIRTUAL, requests=requests,
                errors=errors,
            )
        )  # fmt: skip
    return ServiceDeviations(
        tenant="acme", service=service, node_kind=kind, pane_start_ns=pane_start(pane), revision=0, state="reliable",
        requests=requests, errors=errors, p95_ms=50.0, series=list(series), edges_in=edges, driven=driven,
    )  # fmt: skip
