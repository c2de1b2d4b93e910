"""What the panes since the onset say about each node: one strength per series, comparable across kinds.

A latency's strength is the mean over panes of log10(score / 3): 0 up to three scales, 1 at thirty, 2 at three hundred,
3 at most. A ratio's is twice the square root of its rise: 2 when everything fails that never did. Series that never
gathered half an alarm's evidence have none.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from schemas.deviations import INSTANCE_KINDS, EdgeSummary, SeriesKind, SeriesScore, ServiceDeviations, SignatureChange
from schemas.health import Exemplars, NodeKind
from schemas.snapshots import CallerFinding, NodeFinding, SeriesFinding
from streams.hypotheses.picture import Pane
from streams.hypotheses.releases import Releases
from streams.hypotheses.replicas import Replicas
from streams.hypotheses.visits import Visits
from streams.incidents.config import IncidentConfig
from streams.incidents.operations import has_stopped, is_uncalled
from streams.incidents.triggers import is_stop, stoppable_in

_RATIOS = (SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE, SeriesKind.LOG_ERRORS, *INSTANCE_KINDS)
_LEAST_EVIDENCE = 0.5
_MOST = 3.0
_MOST_TRACES = 5
_MINUTE_PANES, _LEAST_PANES = 6, 2
_MOST_SIGNATURES = 8
_STOPS = IncidentConfig()

SeriesKey = tuple[SeriesKind, str | None, str | None, str | None, str | None]
"""Kind, client of an edge, operation, instance, name (of a budget)."""


def findings_of(
    before: Iterable[tuple[int, Pane]], since: Iterable[tuple[int, Pane]], stopped: Collection[str] = ()
) -> list[NodeFinding]:
    """Return what is known of every node seen since the onset, sorted by name; `before` is its recent past.

    `stopped` are the services whose traffic has stopped, as the incident says.
    """
    nodes: dict[str, _Node] = {}
    for _, pane in since:
        entries = {name for name, node in nodes.items() if node.is_entry}
        if any(one.driven for one in pane.values()):
            entries &= set(stopped)  # else silence of everything is a hole in what was recorded
        stoppable = stoppable_in(pane, entries, is_stop_of_all=True)
        for service, one in pane.items():
            nodes.setdefault(service, _Node(service, one.node_kind)).see(one, service in stoppable)
    for _, pane in before:
        for service in pane.keys() & nodes.keys():
            nodes[service].see_past(pane[service])
    slow_from = {service: node.passages.usual(service) for service, node in nodes.items()}
    return [nodes[service].finding(slow_from) for service in sorted(nodes)]


def _clearest(signatures: Mapping[str, SignatureChange]) -> list[SignatureChange]:
    """Return the changes with most evidence first, ties by name."""
    ordered = sorted(signatures.items(), key=lambda item: (-item[1].series.evidence, item[0]))
    return [change for _, change in ordered[:_MOST_SIGNATURES]]


def _newest(traces: list[str], known: list[str]) -> list[str]:
    """Return the traces of the newest pane before those known, each once, the first few."""
    return list(dict.fromkeys([*traces, *known]))[:_MOST_TRACES]


def pane_strength(score: SeriesScore) -> float:
    """Return how strongly one pane of a series speaks."""
    if is_uncalled(score):
        return 1.0 if has_stopped(score) else 0.0
    if score.kind in _RATIOS:
        return 2.0 * math.sqrt(max(0.0, score.value - score.median))
    return min(_MOST, math.log10(score.score / 3.0)) if score.score > 3.0 else 0.0


@dataclass(slots=True)
class _Series:
    """One series being followed."""

    peak: SeriesScore
    total: float = 0.0
    values: float = 0.0
    panes: int = 0
    evidence: float = 0.0
    since_ns: int | None = None
    requests: int = 0
    hits: float = 0.0

    def see(self, score: SeriesScore) -> None:
        self.panes += 1
        self.total += pane_strength(score)
        self.values += score.value
        self.requests += score.requests
        self.hits += score.value * score.requests if score.unit == "ratio" else 0.0
        self.evidence = max(self.evidence, score.evidence)
        if score.deviating and score.since_ns is not None:
            self.since_ns = score.since_ns if self.since_ns is None else min(self.since_ns, score.since_ns)
        if score.score > self.peak.score:
            self.peak = score

    def finding(self) -> SeriesFinding:
        strength = self.total / self.panes if self.evidence >= _LEAST_EVIDENCE else 0.0
        return SeriesFinding(
            kind=self.peak.kind, client=self.peak.edge_client, operation=self.peak.operation,
            strength=round(strength, 6), evidence=self.evidence, mean=round(self.values / self.panes, 6),
            peak=self.peak, since_ns=self.since_ns, requests=self.requests, hits=round(self.hits),
        )  # fmt: skip


def _place(found: SeriesFinding) -> tuple[str | float, ...]:
    """Return where a finding stands: by series; of several instances or budgets what is surest and clearest is last."""
    which = (found.kind.value, found.client or "", found.operation or "")
    return *which, min(found.evidence, 1.0), found.strength, found.peak.instance or "", found.peak.name or ""


@dataclass(slots=True)
class Surge:
    """The minute in which most requests came, by the robust score of their rate."""

    score: float = 0.0
    times: float = 1.0
    peak: SeriesScore | None = None
    _minute: deque[SeriesScore] = field(default_factory=lambda: deque(maxlen=_MINUTE_PANES))

    def see(self, rate: SeriesScore) -> None:
        """Take the request rate of a pane; panes come in order."""
        self._minute.append(rate)
        score = sum(one.score for one in self._minute) / len(self._minute)
        if len(self._minute) >= _LEAST_PANES and score > self.score:
            usual = sum(one.median for one in self._minute)
            self.score = score
            self.times = sum(one.value for one in self._minute) / usual if usual > 0 else 1.0
            self.peak = max(self._minute, key=lambda one: one.value)


@dataclass(slots=True)
class _Caller:
    """One client of a node being counted."""

    requests: int = 0
    errors: int = 0
    requests_before: int = 0


@dataclass(slots=True)
class _Node:
    """One node being followed."""

    service: str
    node_kind: NodeKind
    series: dict[SeriesKey, _Series] = field(default_factory=dict)
    requests: int = 0
    errors: int = 0
    requests_before: int = 0
    callers: dict[str, _Caller] = field(default_factory=dict)
    is_entry: bool = False
    from_outside: int = 0
    """Requests whose clients send no telemetry."""
    stop: SeriesScore | None = None
    surge: Surge = field(default_factory=Surge)
    slow: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    normal: list[str] = field(default_factory=list)
    passages: Visits = field(default_factory=Visits)
    replicas: Replicas = field(default_factory=Replicas)
    releases: Releases = field(default_factory=Releases)
    signatures: dict[str, SignatureChange] = field(default_factory=dict)

    def see_past(self, one: ServiceDeviations) -> None:
        """Take one pane from before the onset."""
        self.requests_before += one.requests
        self.passages.see_past(one.passages)
        self.replicas.see_past(one.instances)
        self.normal = _newest(one.exemplars.normal, self.normal)
        for edge in one.edges_in:
            if edge.client_kind is not NodeKind.CLIENT:
                self.callers.setdefault(edge.client, _Caller()).requests_before += edge.requests

    def see(self, one: ServiceDeviations, stoppable: bool) -> None:
        """Take one pane since the onset. `stoppable`: silence would mean something in this pane."""
        self.requests += one.requests
        self.errors += one.errors
        self.passages.see(one.passages)
        self.replicas.see(one.instances)
        self.releases.see(one.versions)
        for change in one.signatures:
            self._see_signature(change)
        for edge in one.edges_in:
            self._see_edge(edge)
        for score in one.series:
            self._see_series(score, one.pane_start_ns, stoppable)
        self.slow = _newest(one.exemplars.slow, self.slow)
        self.failing = _newest(one.exemplars.failing, self.failing)

    def _see_edge(self, edge: EdgeSummary) -> None:
        if edge.client_kind is NodeKind.CLIENT:
            self.is_entry = True
            self.from_outside += edge.requests
            return
        caller = self.callers.setdefault(edge.client, _Caller())
        caller.requests += edge.requests
        caller.errors += edge.errors

    def _see_series(self, score: SeriesScore, pane_start_ns: int, stoppable: bool) -> None:
        if score.kind is SeriesKind.REQUEST_RATE and not score.operation:
            self.surge.see(score)
            if score.deviating and stoppable and is_stop(score, pane_start_ns, _STOPS):
                self.stop = score
            return
        key = (score.kind, score.edge_client, score.operation, score.instance, score.name)
        self.series.setdefault(key, _Series(score)).see(score)

    def _see_signature(self, change: SignatureChange) -> None:
        """Keep the pane that says most of each signature."""
        name = change.series.name or change.template
        known = self.signatures.get(name)
        if known is None or change.series.evidence > known.series.evidence:
            self.signatures[name] = change

    def finding(self, slow_from: Mapping[str, int | None]) -> NodeFinding:
        """Return what was found, in an order that does not depend on what came first."""
        found = [series.finding() for series in self.series.values()]
        found.sort(key=_place)
        surge = self.surge if 2 * self.from_outside >= self.requests else Surge()  # else it is passed on to it
        callers = [
            CallerFinding(client=name, requests=c.requests, errors=c.errors, requests_before=c.requests_before)
            for name, c in sorted(self.callers.items())
        ]
        return NodeFinding(
            service=self.service, node_kind=self.node_kind, requests=self.requests, errors=self.errors,
            requests_before=self.requests_before, is_entry=self.is_entry, callers=callers, series=found,
            passages=self.passages.findings(slow_from), signatures=_clearest(self.signatures), stop=self.stop,
            instances=self.replicas.findings(), versions=self.releases.findings(), surge=round(surge.score, 6),
            surge_times=round(surge.times, 4), surge_peak=surge.peak,
            exemplars=Exemplars(slow=self.slow, failing=self.failing, normal=self.normal),
        )  # fmt: skip
