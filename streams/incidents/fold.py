"""The fold of one tenant: panes in order, events out."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.deviations import ServiceDeviations
from schemas.incidents import IncidentEvent
from schemas.losses import LossReason
from streams.incidents.book import Book
from streams.incidents.step import Step
from streams.incidents.triggers import Alarm, alarms_of


class IncidentFold(Book):
    """Open, extend and resolve the incidents of one tenant. Step it once per pane, in order."""

    def step_pane(
        self, pane_start_ns: int, deviations: Iterable[ServiceDeviations], decided_at_ns: int
    ) -> list[IncidentEvent]:
        """Return what the pane changes. A pane that is not newer than the last one changes nothing.

        `deviations` are the pane's records of all services (baselines and SLOs mixed); of several revisions of one
        service the newest counts. `decided_at_ns` is the arrival clock.
        """
        if pane_start_ns <= self.last_pane_ns:
            return []
        self.last_pane_ns = pane_start_ns
        self.unopened = []
        pane = _newest(deviations)
        self.graph.see(pane.values())
        self.silence.step(pane_start_ns, pane, decided_at_ns)
        self._forget_edges(pane_start_ns)
        self._forget_ends(pane_start_ns)
        alarms = self._alarms(pane_start_ns, pane)
        events = Step(self, pane_start_ns, decided_at_ns, pane, alarms).run()
        self._learn(pane_start_ns, pane)
        return events

    def _alarms(self, pane_start_ns: int, pane: dict[str, ServiceDeviations]) -> dict[str, Alarm]:
        """Return what is wrong in the pane, by service, but for what had better wait."""
        found = alarms_of(pane, self.graph, self.config, self.silence.heard_since_ns, self.silence.is_stop)
        members = {name for incident in self.open for name in incident.members}
        alarms = self.waiting.step(pane_start_ns, pane, found, members, self.config)
        for name in alarms.keys() & self.recovered.keys():
            alarms[name].not_before_ns = self.recovered[name]
        return alarms

    def _forget_edges(self, pane_start_ns: int) -> None:
        """Forget edges that are not used any more; in silence none, for it would not be known where users come in."""
        if not self.silence.since_ns:
            oldest_ns = pane_start_ns - int(self.config.graph_memory_s * 1e9)
            self.losses.add(self.tenant, LossReason.GRAPH_OVERFLOW, self.graph.forget(oldest_ns, self.config.max_edges))

    def _forget_ends(self, pane_start_ns: int) -> None:
        """Forget the ends of incidents that decide nothing any more."""
        glow_ns = pane_start_ns - int(self.config.budget_afterglow_s * 1e9)
        self.recovered = {name: ended_ns for name, ended_ns in self.recovered.items() if ended_ns > glow_ns}
        window_ns = pane_start_ns - int(self.config.flap_window_s * 1e9)
        recent = {name: [at_ns for at_ns in ends if at_ns > window_ns] for name, ends in self.ended.items()}
        self.ended = {name: ends for name, ends in recent.items() if ends}

    def _learn(self, pane_start_ns: int, pane: dict[str, ServiceDeviations]) -> None:
        """Learn what is usual, but not of an incident: of nobody in its first minutes, nor ever of its members."""
        young_ns = pane_start_ns - int(self.config.news_s * 1e9)
        if all(one.onset_ns <= young_ns for one in self.open):
            members = {name for incident in self.open for name in incident.members}
            self.habits.see(pane_start_ns, (one for name, one in pane.items() if name not in members))


def _newest(deviations: Iterable[ServiceDeviations]) -> dict[str, ServiceDeviations]:
    """Merge the records of a pane by service: of each series the one with the highest revision."""
    pane: dict[str, ServiceDeviations] = {}
    for one in sorted(deviations, key=lambda d: (d.service, d.revision, len(d.series))):
        other = pane.get(one.service)
        if other is None:
            pane[one.service] = one
            continue
        series = {(s.kind, s.name, s.operation, s.edge_client, s.instance): s for s in [*other.series, *one.series]}
        wider = one if len(one.edges_in) >= len(other.edges_in) else other
        pane[one.service] = wider.model_copy(
            update={
                "series": list(series.values()), "requests": max(one.requests, other.requests),
                "passages": one.passages or other.passages, "signatures": one.signatures or other.signatures,
                "usual_silence_s": one.usual_silence_s or other.usual_silence_s,
                "tier": one.tier or other.tier,
            }
        )  # fmt: skip
    return pane
