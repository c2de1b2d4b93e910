"""When an incident is over."""

from __future__ import annotations

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.incidents import ResolveReason
from streams.incidents.book import Book
from streams.incidents.impact import usual_error_rate
from streams.incidents.record import OpenIncident
from streams.incidents.triggers import Alarm


class Ending:
    """What a pane says for and against the end of open incidents."""

    def __init__(self, book: Book, pane_ns: int, pane: dict[str, ServiceDeviations], alarms: dict[str, Alarm]) -> None:
        self.book = book
        self.config = book.config
        self.pane_ns = pane_ns
        self.pane = pane
        self.alarms = alarms

    def reason(self, incident: OpenIncident) -> ResolveReason | None:
        """Let the incident live through the pane; return why it is over, None while it is not.

        By recovery, because what lasts has become normal, or because there is no traffic left to judge.

        Causes whose requests are rare are judged by those: that others have traffic meanwhile says nothing of them.
        """
        members = [self.pane[name] for name in incident.members if name in self.pane]
        rare = [one for one in members if one.usual_silence_s and one.service in incident.causes]
        members = rare or members
        deviating = any(self._holds_open(incident, name) for name in incident.members)
        incident.accepted |= any(self._is_accepted(name) for name in incident.members)
        traffic = any(one.requests for one in members)
        stopped = any(name in self.alarms and self.alarms[name].own for name in incident.members) and not traffic
        if traffic or stopped:
            incident.quiet_since_ns = 0
            incident.calm_panes = 0 if deviating else incident.calm_panes + 1
            self._watch_failures(incident)
            if incident.calm_panes >= self._calm_panes(incident) and self._is_well(incident):
                return ResolveReason.NEW_NORMAL if incident.accepted else ResolveReason.RECOVERED
            return None
        incident.quiet_since_ns = incident.quiet_since_ns or self.pane_ns
        patience_s = max([self.config.no_traffic_s, *(one.usual_silence_s or 0.0 for one in rare)])
        end_ns = self.pane_ns + self.config.pane_s * 1_000_000_000
        return ResolveReason.NO_TRAFFIC if end_ns - incident.quiet_since_ns >= patience_s * 1e9 else None

    def _watch_failures(self, incident: OpenIncident) -> None:
        """Count what the causes' requests say for and against their failing still."""
        for name in incident.causes & self.pane.keys():
            one = self.pane[name]
            calm = incident.calm_panes > 0
            incident.members[name].failures.step(one.requests, one.errors, usual_error_rate(one), calm=calm)

    def _is_well(self, incident: OpenIncident) -> bool:
        """Tell whether no cause is suspected to fail now and then; nobody is for ever."""
        if incident.calm_panes * self.config.pane_s >= self.config.refute_s:
            return True
        here = incident.causes & self.pane.keys()
        return all(incident.members[name].failures.is_refuted(usual_error_rate(self.pane[name])) for name in here)

    def _calm_panes(self, incident: OpenIncident) -> int:
        """Return how many panes without any deviation end the incident."""
        flap_panes = int(self.config.flap_calm_s / self.config.pane_s)
        return max(flap_panes, self.config.calm_panes) if incident.flapping else self.config.calm_panes

    def _holds_open(self, incident: OpenIncident, name: str) -> bool:
        """Tell whether a member still deviates. A budget goes on burning in its windows after the errors have ended.

        Who only suffers, and does from what another incident is about by now, holds that one open.
        """
        alarm = self.alarms.get(name)
        if alarm is None or (not alarm.own and self._suffers_elsewhere(incident, name)):
            return False
        by_budget = any(m.peak.kind is SeriesKind.BURN_RATE for m in incident.members.values())
        return by_budget or any(s.kind is not SeriesKind.BURN_RATE for s in alarm.own + alarm.symptoms)

    def _is_accepted(self, name: str) -> bool:
        """Tell whether something that deviates of a member is called normal from the next pane on."""
        alarm = self.alarms.get(name)
        return alarm is not None and any(one.accepted for one in alarm.own + alarm.symptoms)

    def _suffers_elsewhere(self, incident: OpenIncident, name: str) -> bool:
        """Tell whether a neighbour that deviates belongs to another open incident, one with a cause that deviates."""
        for other in self.book.open:
            hurt = other.members.keys() & self.alarms.keys()
            if other is incident or not any(self.alarms[one].own for one in hurt & other.causes):
                continue
            if any(one not in incident.members and self.book.graph.touches(name, one) for one in hurt):
                return True
        return False
