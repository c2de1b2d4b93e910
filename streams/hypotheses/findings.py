"""What the panes since the onset say about each service: one strength per series, comparable across kinds.

A latency's strength is the mean over panes of log10(score / 3): 0 up to three scales, 1 at thirty, 2 at three hundred,
3 at most. A ratio's is twice the square root of its rise: 2 when everything fails that never did. Series that never
gathered half an alarm's evidence have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.events import EdgeSummary, Exemplars, NodeKind, SeriesKind, SeriesScore, ServiceDeviations
from streams.hypotheses.picture import Pane
from streams.incidents.config import IncidentConfig
from streams.incidents.triggers import is_stop, stoppable_in

_RATIOS = (SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE, SeriesKind.LOG_ERRORS)
_LEAST_EVIDENCE = 0.5
_MOST = 3.0
_STOPS = IncidentConfig()

SeriesName = tuple[SeriesKind, str | None]
"""Kind, and the client of an edge."""


@dataclass(slots=True)
class SeriesFinding:
    """One series since the onset."""

    kind: SeriesKind
    client: str | None
    total: float = 0.0
    panes: int = 0
    evidence: float = 0.0
    peak: SeriesScore | None = None
    since_ns: int | None = None

    def see(self, score: SeriesScore) -> None:
        """Take one pane."""
        self.panes += 1
        self.total += pane_strength(score)
        self.evidence = max(self.evidence, score.evidence)
        if score.deviating and score.since_ns is not None:
            self.since_ns = score.since_ns if self.since_ns is None else min(self.since_ns, score.since_ns)
        if self.peak is None or score.score > self.peak.score:
            self.peak = score

    @property
    def strength(self) -> float:
        """How strong it is; 0 without enough evidence."""
        if self.evidence < _LEAST_EVIDENCE or not self.panes:
            return 0.0
        return self.total / self.panes


def pane_strength(score: SeriesScore) -> float:
    """Return how strongly one pane of a series speaks."""
    if score.kind in _RATIOS:
        return 2.0 * math.sqrt(max(0.0, score.value - score.median))
    return min(_MOST, math.log10(score.score / 3.0)) if score.score > 3.0 else 0.0


@dataclass(slots=True)
class ServiceFindings:
    """All that is found about one service or virtual node since the onset."""

    service: str
    node_kind: NodeKind
    series: dict[SeriesName, SeriesFinding] = field(default_factory=dict)
    requests: int = 0
    errors: int = 0
    edges: dict[str, list[int]] = field(default_factory=dict)
    """By client of an incoming edge: requests and errors."""
    is_entry: bool = False
    stop: SeriesScore | None = None
    surge: float = 0.0
    """Robust score of the request rate, mean over panes; positive for more than normal."""
    exemplars: Exemplars = field(default_factory=Exemplars)
    _rates: int = 0

    def strength(self, kind: SeriesKind, client: str | None = None) -> float:
        """Return the strength of one series."""
        finding = self.series.get((kind, client))
        return finding.strength if finding else 0.0

    def since_ns(self, kinds: Iterable[SeriesKind]) -> int | None:
        """Return when the first of these series began to deviate, if any has."""
        starts = [f.since_ns for f in self.series.values() if f.kind in set(kinds) and f.since_ns is not None]
        return min(starts, default=None)

    def see(self, one: ServiceDeviations, stoppable: bool) -> None:
        """Take one pane of the service. `stoppable`: silence would mean something in this pane."""
        self.requests += one.requests
        self.errors += one.errors
        for edge in one.edges_in:
            self._see_edge(edge)
        for score in one.series:
            self._see_series(score, one.pane_start_ns, stoppable)
        if one.exemplars.slow or one.exemplars.failing:
            self.exemplars = one.exemplars

    def _see_edge(self, edge: EdgeSummary) -> None:
        if edge.client_kind is NodeKind.CLIENT:
            self.is_entry = True
            return
        counts = self.edges.setdefault(edge.client, [0, 0])
        counts[0] += edge.requests
        counts[1] += edge.errors

    def _see_series(self, score: SeriesScore, pane_start_ns: int, stoppable: bool) -> None:
        if score.kind is SeriesKind.REQUEST_RATE:
            self._rates += 1
            self.surge += (score.score - self.surge) / self._rates
            if score.deviating and stoppable and is_stop(score, pane_start_ns, _STOPS):
                self.stop = score
        elif score.operation is None:
            name = (score.kind, score.edge_client)
            self.series.setdefault(name, SeriesFinding(score.kind, score.edge_client)).see(score)


def findings_of(panes: Iterable[tuple[int, Pane]]) -> dict[str, ServiceFindings]:
    """Return the findings of every service seen in these panes."""
    found: dict[str, ServiceFindings] = {}
    for _, pane in panes:
        entries = {name for name, finding in found.items() if finding.is_entry}
        stoppable = stoppable_in(pane, entries)
        for service, one in pane.items():
            found.setdefault(service, ServiceFindings(service, one.node_kind)).see(one, service in stoppable)
    return found
