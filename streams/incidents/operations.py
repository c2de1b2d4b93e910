"""An operation that waits longer, or is not called any more: is it to blame, or does it follow from something else?

A callee, a host or a network in trouble makes many operations wait and has series that say so itself. Where nothing
below does, it is what this operation asks for: a query without an index, calls one after the other that were one.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind
from streams.baselines.calls import STOPPED
from streams.incidents.graph import LiveGraph

_SUSPECTED = 0.3
"""From so much of an alarm on a series excuses who waits for it: its own alarm may come a pane later."""
OTHERS_USE_IT = 2.0
"""A node that gets so many times the operation's requests from the service would make others wait as well."""


def is_wait(series: SeriesScore) -> bool:
    """Tell whether it is the time of one operation with all that it waits for."""
    return series.kind is SeriesKind.P95 and series.operation is not None


def is_uncalled(series: SeriesScore) -> bool:
    """Tell whether it is the request rate of one operation."""
    return series.kind is SeriesKind.REQUEST_RATE and series.operation is not None


def has_stopped(series: SeriesScore) -> bool:
    """Tell whether an operation is hardly called in this very pane."""
    return is_uncalled(series) and series.value <= STOPPED * series.median


def stops_by_itself(
    series: SeriesScore, one: ServiceDeviations, pane: Mapping[str, ServiceDeviations], graph: LiveGraph,
    heard_since_ns: int,
) -> bool:  # fmt: skip
    """Tell whether an operation is no longer called while all that is heard of is well, and no caller has stopped.

    Where requests fail or are slow anywhere, users do not come as far as they did.
    """
    if not has_stopped(series) or series.since_ns is None or series.since_ns < heard_since_ns:
        return False
    if any(s.deviating and s.kind is not SeriesKind.REQUEST_RATE for other in pane.values() for s in other.series):
        return False
    callers = [pane[name] for name in graph.callers(one.service) if name in pane]
    return not any(s.deviating and s.score < 0 for other in callers for s in other.series)


def waits_by_itself(
    series: SeriesScore, one: ServiceDeviations, pane: Mapping[str, ServiceDeviations], graph: LiveGraph
) -> bool:
    """Tell whether an operation waits longer while most others of its service do not, and no callee says why.

    Nor does its own time: that is told itself.
    """
    suspected = [other for other in one.series if other.evidence >= _SUSPECTED]
    if any(other.operation == series.operation and other.kind is SeriesKind.SELF_TIME for other in suspected):
        return False
    waiting = sum(other.requests for other in suspected if is_wait(other))
    if 2 * waiting > one.requests:
        return False
    callees = [pane[name] for name in graph.callees(one.service) if name in pane]
    return not any(_makes_wait(callee, one.service, series.requests) for callee in callees)


def _makes_wait(callee: ServiceDeviations, client: str, requests: int) -> bool:
    """Tell whether a callee is in trouble of any sort. What sends nothing and others use as well is not asked."""
    if callee.node_kind is not NodeKind.SERVICE:
        calls = sum(edge.requests for edge in callee.edges_in if edge.client == client)
        if calls >= OTHERS_USE_IT * requests:
            return False
    return any(
        s.evidence >= _SUSPECTED and s.score > 0 and s.kind is not SeriesKind.REQUEST_RATE for s in callee.series
    )
