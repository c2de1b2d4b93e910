"""Whose fault a slow edge is.

A gap between client and server span says that *the connection* is slow, not which end. The end that explains more is
to blame: a slow callee shows on the edges of all its callers, a caller without CPU on the edges to all its callees.
Each end counts its slow edges, times their share of all its edges; blame is split by the squares. A single edge between
two ends that have no other leans to the callee.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.deviations import SeriesKind
from streams.hypotheses.nodes import Nodes

_SLOW = 0.3
"""Strength from which an edge counts as slow (six scales)."""
_CALLEE_PRIOR = 1.5


@dataclass(slots=True)
class EdgeBlame:
    """How slow edges speak against one service: as the callee, and as the caller."""

    as_callee: float = 0.0
    as_caller: float = 0.0
    worst_client: str | None = None
    slow_in: int = 0
    edges_in: int = 0
    slow_out: int = 0
    edges_out: int = 0

    @property
    def total(self) -> float:
        """The stronger of the two."""
        return max(self.as_callee, self.as_caller)


@dataclass(slots=True)
class _Ends:
    """The edges of one service with their strength and traffic."""

    incoming: dict[str, tuple[float, int]] = field(default_factory=dict)
    outgoing: dict[str, tuple[float, int]] = field(default_factory=dict)

    def explains(self) -> float:
        """Return how many slow edges this service would explain, discounted by its edges that are fine."""
        both = [*self.incoming.values(), *self.outgoing.values()]
        return max(_weight(list(side)) for side in (self.incoming.values(), self.outgoing.values(), both))


def _weight(edges: list[tuple[float, int]]) -> float:
    slow = sum(1 for strength, _ in edges if strength >= _SLOW)
    return slow * slow / len(edges) if edges else 0.0


def blame_edges(nodes: Nodes) -> dict[str, EdgeBlame]:
    """Return the blame of every node that has edges."""
    ends: dict[str, _Ends] = defaultdict(_Ends)
    for node in nodes:
        for client, caller in node.callers.items():
            gap = node.series.get((SeriesKind.GAP, client))
            if caller.requests > 0 and gap is not None:
                measured = (gap.strength, caller.requests)
                ends[node.service].incoming[client] = measured
                ends[client].outgoing[node.service] = measured
    explains = {service: end.explains() for service, end in ends.items()}
    return {service: _blame(end, explains[service], explains) for service, end in ends.items()}


def _blame(ends: _Ends, own: float, explains: Mapping[str, float]) -> EdgeBlame:
    blame = EdgeBlame(edges_in=len(ends.incoming), edges_out=len(ends.outgoing))
    blame.slow_in = sum(1 for strength, _ in ends.incoming.values() if strength >= _SLOW)
    blame.slow_out = sum(1 for strength, _ in ends.outgoing.values() if strength >= _SLOW)
    blame.as_callee = _mean(
        (strength * _share(own * _CALLEE_PRIOR, explains[client]), requests)
        for client, (strength, requests) in ends.incoming.items()
    )
    blame.as_caller = _mean(
        (strength * _share(own, explains[callee] * _CALLEE_PRIOR), requests)
        for callee, (strength, requests) in ends.outgoing.items()
    )
    if ends.incoming:
        blame.worst_client = max(sorted(ends.incoming), key=lambda client: ends.incoming[client][0])
    return blame


def _share(own: float, other: float) -> float:
    return own * own / (own * own + other * other) if own > 0 else 0.0


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    pairs = list(weighted)
    total = sum(requests for _, requests in pairs)
    return sum(value * requests for value, requests in pairs) / total if total else 0.0
