"""The three places of the story: where it began, what failed first because of it, where the users feel it."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.events import Place, SeriesKind
from streams.hypotheses.findings import ServiceFindings

_FELT = (SeriesKind.P95, SeriesKind.EDGE_LATENCY, SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE)


def places_of(root: str, found: Mapping[str, ServiceFindings]) -> dict[str, Place]:
    """Return the place of each service that has one.

    Walks from the root cause up to its callers: the nearest one that feels it is the first critical failure (of several
    the one that felt it first), the farthest where users come in is the impact.
    """
    places = {root: Place.ROOT_CAUSE}
    ring, seen = [root], {root}
    impact: str | None = None
    while ring:
        callers = sorted({client for service in ring for client in found[service].edges if client in found} - seen)
        felt = [c for c in callers if _feels(found[c]) is not None]
        if felt and Place.FIRST_CRITICAL_FAILURE not in places.values():
            first = min(felt, key=lambda c: (_feels(found[c]) or 0, c))
            places[first] = Place.FIRST_CRITICAL_FAILURE
        doors = [c for c in callers if found[c].is_entry]
        impact = doors[0] if doors else impact
        seen |= set(callers)
        ring = callers
    if impact is not None and impact not in places:
        places[impact] = Place.IMPACT
    return places


def _feels(findings: ServiceFindings) -> int | None:
    return findings.since_ns(_FELT)
