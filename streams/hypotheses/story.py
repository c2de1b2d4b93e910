"""The three places of the story: where it began, what failed first because of it, where the users feel it."""

from __future__ import annotations

from schemas.deviations import SeriesKind
from schemas.incidents import Place
from streams.hypotheses.nodes import Node, Nodes

_FELT = (SeriesKind.P95, SeriesKind.EDGE_LATENCY, SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE)


def places_of(root: str, nodes: Nodes) -> dict[str, Place]:
    """Return the place of each node that has one.

    Walks from the root cause up to its callers: the nearest one that feels it is the first critical failure (of several
    the one that felt it first), the farthest where users come in is the impact.
    """
    places = {root: Place.ROOT_CAUSE}
    ring, seen = [nodes[root]], {root}
    impact: Node | None = None
    while ring:
        callers = {n.service: n for node in ring for n in nodes.callers(node.service) if n.service not in seen}
        felt = [node for _, node in sorted(callers.items()) if feels_since_ns(node) is not None]
        if felt and Place.FIRST_CRITICAL_FAILURE not in places.values():
            places[min(felt, key=lambda n: (feels_since_ns(n) or 0, n.service)).service] = Place.FIRST_CRITICAL_FAILURE
        impact = _door([*felt, *callers.values()]) or impact
        seen |= callers.keys()
        ring = list(callers.values())
    if impact is not None and impact.service not in places:
        places[impact.service] = Place.IMPACT
    return places


def _door(nodes: list[Node]) -> Node | None:
    """Return the first of these where users come in."""
    return next((node for node in nodes if node.finding.is_entry), None)


def feels_since_ns(node: Node) -> int | None:
    """Return since when those who wait for the node feel that something is wrong, if they do."""
    return node.since_ns(_FELT)
