"""Where time is lost: in the node itself, on the way to it or from it, or in a node that sends no telemetry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.deviations import SeriesKind
from schemas.snapshots import SeriesFinding
from streams.hypotheses.blame import EdgeBlame
from streams.hypotheses.nodes import Node
from streams.hypotheses.parts import Part, rise
from streams.incidents.operations import OTHERS_USE_IT


def time_parts(node: Node, callees: Sequence[Node], blame: EdgeBlame) -> Iterator[Part]:
    """Yield ``self_time``, ``dependency`` and ``gap``."""
    own, wait = node.strongest(SeriesKind.SELF_TIME), longest_wait(node, callees)
    if wait is not None and wait.strength > (own.strength if own is not None else 0.0):
        yield Part("self_time", wait.strength, rise(f"requests {wait.operation}, which no callee explains,", wait))
    elif own is not None:
        what = f"own time of {own.operation}" if own.operation else "own time"
        yield Part("self_time", own.strength, rise(what, own))
    if not node.is_service:
        value, worst = mean_over_callers(node, SeriesKind.EDGE_LATENCY)
        yield Part("dependency", value, rise(f"latency seen by {worst.client}", worst) if worst else "")
    yield _gap(node, blame)


def longest_wait(node: Node, callees: Sequence[Node]) -> SeriesFinding | None:
    """Return the operation whose requests take longer while most of the others' do not, and nothing below says why."""
    waits = node.deviating_operations(SeriesKind.P95)
    told = sum(one.requests for one in waits)
    worst = max(waits, key=lambda one: (one.strength, one.operation or ""), default=None)
    if worst is None or 2 * told > node.finding.requests or any(_is_slow(one, node, worst) for one in callees):
        return None
    return worst


def _is_slow(callee: Node, node: Node, wait: SeriesFinding) -> bool:
    """Tell whether a callee deviates. Others would wait as well for one without telemetry that they call, too."""
    calls = callee.callers[node.service].requests
    if not callee.is_service and calls >= OTHERS_USE_IT * wait.requests:
        return False
    return any(one.strength > 0 for one in (*callee.series.values(), *callee.operations))


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
