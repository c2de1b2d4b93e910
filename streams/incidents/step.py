"""One pane taken in: what it opens, who joins, how severe that is, and what it ends (`streams.incidents.ending`)."""

from __future__ import annotations

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.health import NodeKind
from schemas.incidents import IncidentEvent, ResolveReason
from schemas.losses import LossReason
from streams.incidents.book import Book
from streams.incidents.ending import Ending
from streams.incidents.groups import groups_of, spreads
from streams.incidents.impact import Sight
from streams.incidents.record import Member, OpenIncident, incident_id
from streams.incidents.severity import Reading, verdict_of
from streams.incidents.triggers import Alarm
from streams.incidents.words import and_later, series_in_words, symptom_reason


class Step:
    """One pane being taken in."""

    def __init__(
        self, book: Book, pane_ns: int, decided_at_ns: int, pane: dict[str, ServiceDeviations],
        alarms: dict[str, Alarm],
    ) -> None:  # fmt: skip
        self.book = book
        self.config = book.config
        self.pane_ns = pane_ns
        self.end_ns = pane_ns + book.config.pane_s * 1_000_000_000
        self.decided_at_ns = max(decided_at_ns, self.end_ns)
        self.pane = pane
        self.alarms = alarms
        self.ending = Ending(book, pane_ns, pane, alarms)
        self.events: list[IncidentEvent] = []
        self.opened: list[OpenIncident] = []
        """What this pane opens. It is told once all of the pane's alarms are in it: it has no first one."""

    def run(self) -> list[IncidentEvent]:
        """Return what the pane changes."""
        for group in groups_of(self.alarms, self.book.graph, self.config):
            self._place(group)
        older = [incident for incident in self.book.open if incident not in self.opened]
        grown = [incident for incident in (*self.opened, *older) if self._add_symptoms(incident)]
        for incident in list(self.book.open):
            self._advance(incident, incident in grown)
        return self.events

    def _tell(self, incident: OpenIncident, kind: str, reason: ResolveReason | None = None) -> None:
        incident.told_pane_ns = self.pane_ns
        self.events.append(incident.event(self.book.tenant, kind, self.end_ns, self.decided_at_ns, reason))

    def _place(self, group: list[Alarm]) -> None:
        """Join the group's triggers to the open incident they touch, or open one."""
        incident = self._home_of(group)
        if incident is not None:
            self._join(incident, group)
        elif any(self._is_news(alarm, group) for alarm in group):
            if len(self.book.open) < self.config.max_open:
                self._open(group)
            else:
                self.book.losses.add(self.book.tenant, LossReason.INCIDENT_OVERFLOW, len(group))
                self.book.unopened += [alarm.service for alarm in group]

    def _is_news(self, alarm: Alarm, group: list[Alarm]) -> bool:
        """Tell whether this alarm is wrong in this very pane, and not the afterglow of an incident's budget."""
        only_budget = all(s.kind is SeriesKind.BURN_RATE for s in alarm.own)
        since_ns = min(one.since_ns for one in group)
        return alarm.is_fresh(since_ns, self.config) and not (only_budget and alarm.service in self.book.recovered)

    def _home_of(self, group: list[Alarm]) -> OpenIncident | None:
        """Return the open incident that the group belongs to: the one that has most of it, or that spreads to one.

        A group with newcomers that began long after the last cause of an incident is another matter, even if services
        of the incident deviate anew with it.
        """
        names = {alarm.service for alarm in group}
        new = [alarm for alarm in group if not any(alarm.service in one.causes for one in self.book.open)]
        began_ns = min((alarm.since_ns for alarm in new), default=0)
        near = [one for one in self.book.open if began_ns - one.newest_ns <= self.config.spread_s * 1e9]
        having = [one for one in near if names & one.causes]
        if having:
            return max(having, key=lambda one: len(names & one.causes))
        for incident in near:
            causes = [(name, member.since_ns) for name, member in incident.members.items() if member.trigger]
            if any(spreads(*cause, alarm, self.book.graph, self.config) for cause in causes for alarm in group):
                return incident
        return None

    def _open(self, group: list[Alarm]) -> None:
        lead = min(group, key=lambda alarm: (alarm.since_ns, -abs(alarm.peak.score), alarm.service))
        incident = OpenIncident(
            incident_id(self.book.tenant, lead.service, self.pane_ns),
            min(alarm.since_ns for alarm in group),
            series_in_words(lead.service, lead.peak),
        )
        self._add(incident, group)
        episodes = max(len(self.book.ended.get(name, [])) for name in incident.causes) + 1
        incident.flapping = episodes >= self.config.flap_episodes
        self.book.open.append(incident)
        self.book.habits.take_back(incident.onset_ns)
        self.opened.append(incident)

    def _join(self, incident: OpenIncident, group: list[Alarm]) -> None:
        new_symptom = [alarm.service for alarm in group if self._add_symptom(incident, alarm)]
        grew = self._add(incident, group)
        if incident in self.opened:
            return
        if grew:
            self._tell(incident, "service_joined")
        elif new_symptom:
            self._tell(incident, "updated")

    def _add_symptom(self, incident: OpenIncident, alarm: Alarm) -> bool:
        """Tell of a service that is known to deviate what else is wrong with it by now: it may be a second fault."""
        known = incident.members.get(alarm.service)
        if known is None or not known.trigger:
            return False
        news = alarm.news_beside(known.kinds)
        for series in news:
            since_ns = series.since_ns or self.pane_ns
            known.reason = and_later(known.reason, series, since_ns - known.since_ns)
            known.kinds.add(series.kind)
            incident.renew(since_ns, self.config.spread_s)
        return bool(news)

    def _add(self, incident: OpenIncident, alarms: list[Alarm]) -> bool:
        grew = False
        for alarm in alarms:
            known = incident.members.get(alarm.service)
            if known is None and len(incident.members) >= self.config.max_services:
                self.book.losses.add(self.book.tenant, LossReason.MEMBER_OVERFLOW)
                continue
            if known is None or not known.trigger:
                reason = series_in_words(alarm.service, alarm.peak)
                kind = alarm.deviations.node_kind
                since = alarm.since_ns if known is None else min(known.since_ns, alarm.since_ns)
                told = {one.kind for one in alarm.own}
                incident.members[alarm.service] = Member(alarm.service, kind, since, reason, alarm.peak, True, told)
                grew = True
            elif alarm.peak.score > known.peak.score:
                known.peak = alarm.peak
        return grew

    def _add_symptoms(self, incident: OpenIncident) -> bool:
        """Attach services that deviate only because of a member; spreads one call further each round."""
        grew = True
        changed = False
        left_out: set[str] = set()
        while grew:
            grew = False
            for service, alarm in self.alarms.items():
                if alarm.own or any(service in one.members for one in self.book.open) or service in incident.members:
                    continue
                neighbour = next((m for m in sorted(incident.members) if self.book.graph.touches(service, m)), None)
                if neighbour is None:
                    continue
                if len(incident.members) >= self.config.max_services:
                    left_out.add(service)
                    continue
                calls = (service, neighbour) in self.book.graph.edges
                reason = symptom_reason(service, alarm.peak, neighbour, calls)
                kind = alarm.deviations.node_kind
                incident.members[service] = Member(service, kind, alarm.since_ns, reason, alarm.peak, False)
                grew = changed = True
        self.book.losses.add(self.book.tenant, LossReason.MEMBER_OVERFLOW, len(left_out))
        return changed

    def _advance(self, incident: OpenIncident, has_grown: bool) -> None:
        """Let an open incident live through the pane: impact, symptoms, severity, recovery."""
        self._count(incident)
        if has_grown and incident not in self.opened:
            self._tell(incident, "service_joined")
        self._grade(incident)
        reason = self.ending.reason(incident)
        if reason is not None:
            self._resolve(incident, reason)

    def _count(self, incident: OpenIncident) -> None:
        """Count who is hit in this pane, and note what its services say of their tier."""
        for name in incident.members.keys() & self.pane.keys():
            incident.members[name].tier = self.pane[name].tier or incident.members[name].tier
        causes = {name: self.alarms[name] for name in incident.causes if name in self.alarms and name in self.pane}
        sight = Sight(self.pane, self.book.graph, self.book.habits, self.config.pane_s)
        incident.count(sight.hits(dict(sorted(causes.items()))))

    def _grade(self, incident: OpenIncident) -> None:
        """Give the incident what the pane calls for, and tell what is new."""
        changed = incident.grade.step(verdict_of(self._reading(incident)), self.pane_ns, int(self.config.fall_s * 1e9))
        if incident in self.opened:
            self._tell(incident, "opened")
        elif changed:
            self._tell(incident, "severity_changed")
        elif self.pane_ns - incident.told_pane_ns >= self.config.update_panes * self.config.pane_s * 1_000_000_000:
            self._tell(incident, "updated")

    def _reading(self, incident: OpenIncident) -> Reading:
        """Return what is known of its impact.

        A budget that an earlier incident of a member has spent says nothing about this one.
        """
        names = sorted(incident.members.keys() & self.alarms.keys() - self.book.recovered.keys())
        burns = [
            (one.value, name)
            for name in names
            for one in (*self.alarms[name].own, *self.alarms[name].symptoms)
            if one.kind is SeriesKind.BURN_RATE
        ]
        burn, burning = max(burns, default=(0.0, ""))
        services = (member for member in incident.members.values() if member.node_kind is NodeKind.SERVICE)
        return Reading(
            share=incident.share, work_share=incident.work_share, users_share=incident.lately.minute.users_share,
            burn=burn, burning=burning, tiers={member.service: member.tier for member in services},
        )  # fmt: skip

    def _resolve(self, incident: OpenIncident, reason: ResolveReason) -> None:
        self._tell(incident, "resolved", reason)
        self.book.open.remove(incident)
        self.book.recovered |= dict.fromkeys(incident.members, self.pane_ns)
        for name in incident.causes:
            self.book.ended[name] = [*self.book.ended.get(name, []), self.pane_ns][-self.config.flap_episodes :]
