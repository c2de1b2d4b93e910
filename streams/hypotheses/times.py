"""Where time is lost: in the node itself, on the way to it or from it, or in a node that sends no telemetry."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.deviations import SeriesKind
from schemas.snapshots import SeriesFinding
from streams.hypotheses.blame import EdgeBlame
from streams.hypotheses.nodes import Node
from streams.hypotheses.parts import Part, rise


def time_parts(node: Node, blame: EdgeBlame) -> Iterator[Part]:
    """Yield ``self_time``, ``dependency`` and ``gap``."""
    own = node.strongest(SeriesKind.SELF_TIME)
    if own is not None:
        what = f"own time of {own.operation}" if own.operation else "own time"
        yield Part("self_time", own.strength, rise(what, own))
    if not node.is_service:
        value, worst = mean_over_callers(node, SeriesKind.EDGE_LATENCY)
        yield Part("dependency", value, rise(f"latency seen by {worst.client}", worst) if worst else "")
    yield _gap(node, blame)


def _gap(node: Node, blame: EdgeBlame) -> Part:
    if blame.as_callee < blame.as_caller:
        why = f"its calls to {blame.slow_out} of {blame.edges_out} services are slow on the way"
        return Part("gap", blame.as_caller, why)
    worst = node.series.get((SeriesKind.GAP, blame.worst_client))
    why = rise(f"network and queue time from {blame.worst_client}", worst) if worst else ""
    return Part("gap", blame.as_callee, f"{why}; {blame.slow_in} of {blame.edges_in} callers see it")


def mean_over_callers(node: Node, kind: SeriesKind) -> tuple[float, SeriesFinding | None]:
    """Return the strength of an edge series over all callers, weighted by traffic, and the strongest one."""
    pairs = [
        (node.series[kind, name], caller.requests)
        for name, caller in sorted(node.callers.items())
        if (kind, name) in node.series
    ]
    total = sum(requests for _, requests in pairs)
    if not total:
        return 0.0, None
    return sum(f.strength * n for f, n in pairs) / total, max((f for f, _ in pairs), key=lambda f: f.strength)
