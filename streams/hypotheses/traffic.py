"""What requests come and go: calls that are not made any more, a stop, a surge at the door."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from schemas.deviations import SeriesKind
from streams.hypotheses.failures import failing, unexplained
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part
from streams.incidents.words import amount, plain, series_in_words

_SURGE_SCALES = 3.0
_SURGE_TIMES = 1.5
"""A surge is more than its scales, and than so many times the usual requests, over a minute."""
_MISSING_SCALES = 4.0
"""Standard deviations (Poisson, variance-stabilised) by which calls must fall short."""
_FOLLOWS = 0.2
"""What a stop is worth that a caller in trouble explains."""


def traffic_parts(node: Node, nodes: Nodes) -> Iterator[Part]:
    """Yield ``missing_calls``, ``stopped`` and ``load``."""
    found = node.finding
    yield _missing_calls(node, nodes.callees(node.service))
    if found.stop is not None:
        follows = any(c.finding.stop is not None or failing(c) > 0 for c in nodes.callers(node.service))
        why = f"requests stopped, normally {amount(found.stop.median, 'per_s')}"
        yield Part("stopped", _FOLLOWS if follows else 1.0, why)
    elif uncalled := node.deviating_operations(SeriesKind.REQUEST_RATE):
        follows = any(c.deviating_operations(SeriesKind.REQUEST_RATE) for c in nodes.callers(node.service))
        worst = max(uncalled, key=lambda one: (one.strength * one.peak.median, one.operation or ""))
        why = series_in_words(node.service, worst.peak)
        yield Part("stopped", _FOLLOWS if follows else worst.strength, why)
    if found.is_entry and found.surge > _SURGE_SCALES and found.surge_times >= _SURGE_TIMES:
        usual = found.surge_peak.median if found.surge_peak else 0.0
        why = f"{plain(found.surge_times, 2)} times the usual requests come in, normally {amount(usual, 'per_s')}"
        yield Part("load", min(3.0, math.log2(found.surge_times)), why)


def _missing_calls(node: Node, callees: Sequence[Node]) -> Part:
    """Count the calls per request that the node made before the onset and does not make now.

    A request that is cut short (an error that is returned early) shows as shorter traces, often as nothing else. Calls
    that are missing because a callee is in trouble are that callee's.
    """
    found = node.finding
    expected = missing = 0.0
    lost: list[str] = []
    for callee in callees:
        calls = callee.callers[node.service]
        if not (found.requests and found.requests_before and calls.requests_before):
            continue
        per_request = calls.requests_before / found.requests_before
        usual = per_request * found.requests
        expected += usual
        fallen = 2.0 * (math.sqrt(usual) - math.sqrt(calls.requests)) / math.sqrt(max(1.0, per_request))
        if fallen > _MISSING_SCALES:
            missing += usual - calls.requests
            lost.append(callee.service)
    if not missing:
        return Part("missing_calls", 0.0, "")
    value = unexplained(2.0 * math.sqrt(missing / expected), node, callees)
    return Part(
        "missing_calls", value, f"{missing:.0f} of {expected:.0f} usual calls are missing, to {', '.join(lost)}"
    )
