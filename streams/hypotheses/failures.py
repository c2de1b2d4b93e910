"""Where requests fail: failures of a node that nothing below it explains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.deviations import SeriesKind
from schemas.snapshots import SeriesFinding
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part, rise
from streams.hypotheses.times import mean_over_callers

_EXPLAINED = 0.7
"""How much of a failure a callee in trouble explains away."""


def failure_parts(node: Node, nodes: Nodes, *, calls_explain: bool) -> Iterator[Part]:
    """Yield ``own_errors`` and ``log_errors``.

    With `calls_explain`, error logs are explained by as many calls that may have logged one in a callee: a fifth of the
    requests of a callee may be all that one caller made.
    """
    callees = nodes.callees(node.service)
    yield _own_errors(node, callees)
    logs = node.series.get((SeriesKind.LOG_ERRORS, None))
    if logs is not None and logs.strength > 0:
        value = unexplained(logs.strength, node, callees, _more(logs) if calls_explain else 0.0)
        yield Part("log_errors", value, rise("requests with an error log", logs))


def unexplained(value: float, node: Node, callees: Sequence[Node], failures: float = 0.0) -> float:
    """Return what of a failure is left after the callee in the deepest trouble has explained its share.

    `failures` are how many requests it is of, where they can be held against those of a callee; else 0.
    """
    if value <= 0:
        return 0.0
    shares = [trouble(callee, node.service) / value for callee in callees]
    if failures > 0:
        shares += [_failing_calls(callee, node.service) / failures for callee in callees]
    return value * (1.0 - _EXPLAINED * min(1.0, max(shares, default=0.0)))


def _failing_calls(callee: Node, caller: str) -> float:
    """Return how many calls of a caller may be requests that log an error in the callee, more than usual."""
    logs = callee.series.get((SeriesKind.LOG_ERRORS, None))
    if logs is None or logs.strength <= 0:
        return 0.0
    return min(_more(logs), callee.callers[caller].requests)


def _more(ratio: SeriesFinding) -> float:
    """Return how many requests were hit more than is normal."""
    return max(0.0, ratio.hits - ratio.peak.median * ratio.requests)


def trouble(callee: Node, caller: str) -> float:
    """Return how much a callee fails its caller: by errors, or by letting it wait until it gives up."""
    slow = max(callee.strength(SeriesKind.SELF_TIME), callee.strength(SeriesKind.GAP, caller))
    return max(failing(callee), slow)


def failing(node: Node) -> float:
    """Return how much a node fails, whatever the reason."""
    errors = node.strongest(SeriesKind.ERROR_RATE)
    return max(node.strength(SeriesKind.LOG_ERRORS), errors.strength if errors else 0.0)


def _own_errors(node: Node, callees: Sequence[Node]) -> Part:
    found = node.finding
    below = sum(callee.callers[node.service].errors for callee in callees)
    share = max(0.0, found.errors - below) / found.errors if found.errors else 0.0
    strongest = node.strongest(SeriesKind.ERROR_RATE)
    inside = strongest.strength * share if strongest else 0.0
    outside, _ = mean_over_callers(node, SeriesKind.EDGE_ERROR_RATE)
    seen = sum(caller.errors for caller in node.callers.values())
    outside *= max(0.0, seen - found.errors) / seen if seen else 0.0
    if outside > inside:
        why = f"{seen} calls to it failed for the callers, {found.errors} by its own account"
    else:
        where = f", {strongest.hits} of {strongest.operation}" if strongest and strongest.operation else ""
        why = f"{found.errors} of {found.requests} requests failed{where}, {below} of them in a callee"
    return Part("own_errors", max(inside, outside), why)
