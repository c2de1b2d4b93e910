"""The operations of a service since the onset: is there one that fails or is slow, while the others do not?

A callee, a host or a network in trouble hits what depends on it; a fault in the code of one operation hits that alone.
How far failures keep to one is judged as with instances (`replicas`), by counts; how far time does by the strengths of
own time, for the slow requests of one operation are no share of anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.deviations import SeriesKind
from schemas.snapshots import SeriesFinding
from streams.hypotheses.nodes import Node
from streams.hypotheses.times import longest_wait
from streams.slo import wilson_lower

_LEAST = 0.5
"""From here on an operation is named."""
_CLEAR_OF_FEW = 0.2
_Z = 1.96


class Standout(NamedTuple):
    """The operation that is unlike the others, how far (1 is clear), and the series that says so."""

    operation: str
    value: float
    finding: SeriesFinding


def standout(node: Node, callees: Sequence[Node]) -> Standout | None:
    """Return the one operation of a service that fails, is slow, waits for longer or is no longer called."""
    found = max(
        (*_failing(node), *_slow(node), *_waiting(node, callees), *_uncalled(node)),
        key=lambda one: (one.value, one.operation),
        default=None,
    )
    return found if found is not None and found.value >= _LEAST else None


def _failing(node: Node) -> Iterator[Standout]:
    """Yield how far the failures keep to each operation: its share of them, above its share of what is well."""
    service = node.series.get((SeriesKind.ERROR_RATE, None))
    usual = service.peak.median if service is not None else 0.0
    well = node.finding.requests - node.finding.errors
    for one in node.deviating_operations(SeriesKind.ERROR_RATE):
        bad = one.hits - one.peak.median * one.requests
        total = max(bad, node.finding.errors - usual * node.finding.requests)
        least = wilson_lower(round(bad), round(total), _Z)
        others = max(0, well - (one.requests - one.hits))
        most = 1.0 - wilson_lower(min(others, well), well, _Z) if well > 0 else 1.0
        yield Standout(one.operation or "", (least - most) / (1.0 - most) if most < 1.0 else 0.0, one)


def _slow(node: Node) -> Iterator[Standout]:
    """Yield how much more the own time of each operation has grown than that of the others, by their requests."""
    times = [one for one in node.operations if one.kind is SeriesKind.SELF_TIME]
    for one in node.deviating_operations(SeriesKind.SELF_TIME):
        others = [other for other in times if other is not one]
        requests = sum(other.requests for other in others)
        if requests:
            beside = sum(other.strength * other.requests for other in others) / requests
            yield Standout(one.operation or "", _apart(one, beside, requests), one)


def _waiting(node: Node, callees: Sequence[Node]) -> Iterator[Standout]:
    """Yield how much longer one operation's requests take than those of others, which are not told when calm."""
    one, waits = longest_wait(node, callees), [w for w in node.operations if w.kind is SeriesKind.P95]
    if one is not None:
        requests = max(node.finding.requests - one.requests, 1)
        beside = sum(other.strength * other.requests for other in waits if other is not one) / requests
        yield Standout(one.operation or "", _apart(one, beside, requests), one)


def _uncalled(node: Node) -> Iterator[Standout]:
    """Yield the operations that are no longer called, of several the one that was called most."""
    found = node.deviating_operations(SeriesKind.REQUEST_RATE)
    if found:
        most = max(found, key=lambda one: (one.peak.median, one.operation or ""))
        yield Standout(most.operation or "", max(most.strength, _LEAST), most)


def _apart(one: SeriesFinding, beside: float, others: int) -> float:
    """Return how far an operation is from the others, which have so many requests and are that strong.

    A little is enough of one that has fewer requests than they: had they changed, they had told it first.
    """
    is_clear = beside == 0 and one.strength >= _CLEAR_OF_FEW and one.requests < others
    return max(one.strength - beside, _LEAST if is_clear else 0.0)
