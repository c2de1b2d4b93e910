"""The fold of one tenant: panes in order, events out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.health import NodeKind
from schemas.incidents import IncidentEvent, ResolveReason
from schemas.losses import LossReason
from streams.incidents.config import IncidentConfig
from streams.incidents.graph import LiveGraph
from streams.incidents.groups import groups_of, spreads
from streams.incidents.habits import Habits
from streams.incidents.impact import Sight, usual_error_rate
from streams.incidents.record import Member, OpenIncident, incident_id
from streams.incidents.severity import Reading, verdict_of
from streams.incidents.silence import Silence
from streams.incidents.triggers import Alarm, alarms_of
from streams.incidents.waiting import Waiting
from streams.incidents.words import and_later, series_in_words, symptom_reason
from streams.windows import LossLedger

_VERSION = 1


class IncidentFold:
    """Open, extend and resolve the incidents of one tenant. Step it once per pane, in order."""

    def __init__(self, tenant: str, config: IncidentConfig | None = None) -> None:
        self.tenant = tenant
        self.config = config or IncidentConfig()
        self.graph = LiveGraph()
        self.open: list[OpenIncident] = []
        self.recovered: dict[str, int] = {}
        """Members of incidents that ended within the afterglow, with the pane that ended them."""
        self.ended: dict[str, list[int]] = {}
        """By service: the panes that ended incidents of which it was a cause, within the window of flapping."""
        self.waiting = Waiting()
        self.habits = Habits()
        """What is usual of the traces."""
        self.silence = Silence()
        self.last_pane_ns = -1
        self.losses = LossLedger()
        """What there was no room for, until it is drained."""
        self.unopened: list[str] = []
        """Who is in no incident since the last pane, because too many are open."""

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
        glow_ns = int(self.config.budget_afterglow_s * 1e9)
        self.recovered = {name: ended for name, ended in self.recovered.items() if ended > pane_start_ns - glow_ns}
        window_ns = pane_start_ns - int(self.config.flap_window_s * 1e9)
        recent = {name: [at_ns for at_ns in ends if at_ns > window_ns] for name, ends in self.ended.items()}
        self.ended = {name: ends for name, ends in recent.items() if ends}
        alarms = alarms_of(pane, self.graph, self.config, self.silence.heard_since_ns, self.silence.is_stop)
        members = {name for incident in self.open for name in incident.members}
        alarms = self.waiting.step(pane_start_ns, pane, alarms, members, self.config)
        for name in alarms.keys() & self.recovered.keys():
            alarms[name].not_before_ns = self.recovered[name]
        events = _Step(self, pane_start_ns, decided_at_ns, pane, alarms).run()
        self._learn(pane_start_ns, pane)
        return events

    def _forget_edges(self, pane_start_ns: int) -> None:
        """Forget edges that are not used any more; in silence none, for it would not be known where users come in."""
        if not self.silence.since_ns:
            oldest_ns = pane_start_ns - int(self.config.graph_memory_s * 1e9)
            self.losses.add(self.tenant, LossReason.GRAPH_OVERFLOW, self.graph.forget(oldest_ns, self.config.max_edges))

    def _learn(self, pane_start_ns: int, pane: dict[str, ServiceDeviations]) -> None:
        """Learn what is usual, but not of an incident: of nobody in its first minutes, nor ever of its members."""
        young_ns = pane_start_ns - int(self.config.news_s * 1e9)
        if all(one.onset_ns <= young_ns for one in self.open):
            members = {name for incident in self.open for name in incident.members}
            self.habits.see(pane_start_ns, (one for name, one in pane.items() if name not in members))

    def to_bytes(self) -> bytes:
        """Return the state, bounded by the config's maxima."""
        body: dict[str, Any] = {
            "v": _VERSION,
            "pane": self.last_pane_ns,
            "edges": [[client, server, seen] for (client, server), seen in self.graph.edges.items()],
            "entries": self.graph.entries,
            "recovered": self.recovered,
            "ended": self.ended,
            "waiting": self.waiting.packed(),
            "silence": self.silence.packed(),
            "habits": self.habits.packed(),
            "open": [incident.packed() for incident in self.open],
        }
        return bytes(msgpack.packb(body))

    @staticmethod
    def from_bytes(tenant: str, config: IncidentConfig | None, raw: bytes | None) -> IncidentFold:
        """Read `to_bytes` back; nothing, or another version's state, is a fresh start."""
        fold = IncidentFold(tenant, config)
        body = msgpack.unpackb(raw, strict_map_key=False) if raw else {}
        if body.get("v") == _VERSION:
            fold.last_pane_ns = body["pane"]
            fold.graph = LiveGraph({(c, s): seen for c, s, seen in body["edges"]}, dict(body["entries"]))
            fold.recovered = dict(body["recovered"])
            fold.ended = dict(body.get("ended", {}))
            fold.silence = Silence.unpacked(body.get("silence", [0, body.get("heard_since", 0), 0]))
            fold.waiting = Waiting.unpacked(body.get("waiting", []))
            fold.habits = Habits.unpacked(body.get("habits", []))
            fold.open = [OpenIncident.unpacked(one) for one in body["open"]]
        return fold


class _Step:
    """One pane being taken in."""

    def __init__(
        self, fold: IncidentFold, pane_ns: int, decided_at_ns: int, pane: dict[str, ServiceDeviations],
        alarms: dict[str, Alarm],
    ) -> None:  # fmt: skip
        self.fold = fold
        self.config = fold.config
        self.pane_ns = pane_ns
        self.end_ns = pane_ns + fold.config.pane_s * 1_000_000_000
        self.decided_at_ns = max(decided_at_ns, self.end_ns)
        self.pane = pane
        self.alarms = alarms
        self.events: list[IncidentEvent] = []
        self.opened: list[OpenIncident] = []
        """What this pane opens. It is told once all of the pane's alarms are in it: it has no first one."""

    def run(self) -> list[IncidentEvent]:
        for group in groups_of(self.alarms, self.fold.graph, self.config):
            self._place(group)
        older = [incident for incident in self.fold.open if incident not in self.opened]
        grown = [incident for incident in (*self.opened, *older) if self._add_symptoms(incident)]
        for incident in list(self.fold.open):
            self._advance(incident, incident in grown)
        return self.events

    def _tell(self, incident: OpenIncident, kind: str, reason: ResolveReason | None = None) -> None:
        incident.told_pane_ns = self.pane_ns
        self.events.append(incident.event(self.fold.tenant, kind, self.end_ns, self.decided_at_ns, reason))

    def _place(self, group: list[Alarm]) -> None:
        """Join the group's triggers to the open incident they touch, or open one."""
        incident = self._home_of(group)
        if incident is not None:
            self._join(incident, group)
        elif any(self._is_news(alarm, group) for alarm in group):
            if len(self.fold.open) < self.config.max_open:
                self._open(group)
            else:
                self.fold.losses.add(self.fold.tenant, LossReason.INCIDENT_OVERFLOW, len(group))
                self.fold.unopened += [alarm.service for alarm in group]

    def _is_news(self, alarm: Alarm, group: list[Alarm]) -> bool:
        """Tell whether this alarm is wrong in this very pane, and not the afterglow of an incident's budget."""
        only_budget = all(s.kind is SeriesKind.BURN_RATE for s in alarm.own)
        since_ns = min(one.since_ns for one in group)
        return alarm.is_fresh(since_ns, self.config) and not (only_budget and alarm.service in self.fold.recovered)

    def _home_of(self, group: list[Alarm]) -> OpenIncident | None:
        """Return the open incident that the group belongs to: the one that has most of it, or that spreads to one.

        A group with newcomers that began long after the last cause of an incident is another matter, even if services
        of the incident deviate anew with it.
        """
        names = {alarm.service for alarm in group}
        new = [alarm for alarm in group if not any(alarm.service in one.causes for one in self.fold.open)]
        began_ns = min((alarm.since_ns for alarm in new), default=0)
        near = [one for one in self.fold.open if began_ns - one.newest_ns <= self.config.spread_s * 1e9]
        having = [one for one in near if names & one.causes]
        if having:
            return max(having, key=lambda one: len(names & one.causes))
        for incident in near:
            causes = [(name, member.since_ns) for name, member in incident.members.items() if member.trigger]
            if any(spreads(*cause, alarm, self.fold.graph, self.config) for cause in causes for alarm in group):
                return incident
        return None

    def _open(self, group: list[Alarm]) -> None:
        lead = min(group, key=lambda alarm: (alarm.since_ns, -abs(alarm.peak.score), alarm.service))
        incident = OpenIncident(
            incident_id(self.fold.tenant, lead.service, self.pane_ns),
            min(alarm.since_ns for alarm in group),
            series_in_words(lead.service, lead.peak),
        )
        self._add(incident, group)
        episodes = max(len(self.fold.ended.get(name, [])) for name in incident.causes) + 1
        incident.flapping = episodes >= self.config.flap_episodes
        self.fold.open.append(incident)
        self.fold.habits.take_back(incident.onset_ns)
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
                self.fold.losses.add(self.fold.tenant, LossReason.MEMBER_OVERFLOW)
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
                if alarm.own or any(service in one.members for one in self.fold.open) or service in incident.members:
                    continue
                neighbour = next((m for m in sorted(incident.members) if self.fold.graph.touches(service, m)), None)
                if neighbour is None:
                    continue
                if len(incident.members) >= self.config.max_services:
                    left_out.add(service)
                    continue
                calls = (service, neighbour) in self.fold.graph.edges
                reason = symptom_reason(service, alarm.peak, neighbour, calls)
                kind = alarm.deviations.node_kind
                incident.members[service] = Member(service, kind, alarm.since_ns, reason, alarm.peak, False)
                grew = changed = True
        self.fold.losses.add(self.fold.tenant, LossReason.MEMBER_OVERFLOW, len(left_out))
        return changed

    def _advance(self, incident: OpenIncident, has_grown: bool) -> None:
        """Let an open incident live through the pane: impact, symptoms, severity, recovery."""
        self._count(incident)
        if has_grown and incident not in self.opened:
            self._tell(incident, "service_joined")
        self._grade(incident)
        self._settle(incident)

    def _count(self, incident: OpenIncident) -> None:
        """Count who is hit in this pane, and note what its services say of their tier."""
        for name in incident.members.keys() & self.pane.keys():
            incident.members[name].tier = self.pane[name].tier or incident.members[name].tier
        causes = {name: self.alarms[name] for name in incident.causes if name in self.alarms and name in self.pane}
        sight = Sight(self.pane, self.fold.graph, self.fold.habits, self.config.pane_s)
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
        names = sorted(incident.members.keys() & self.alarms.keys() - self.fold.recovered.keys())
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

    def _settle(self, incident: OpenIncident) -> None:
        """Resolve by recovery, because what lasts has become normal, or because there is no traffic left to judge.

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
                self._resolve(incident, ResolveReason.NEW_NORMAL if incident.accepted else ResolveReason.RECOVERED)
            return
        incident.quiet_since_ns = incident.quiet_since_ns or self.pane_ns
        patience_s = max([self.config.no_traffic_s, *(one.usual_silence_s or 0.0 for one in rare)])
        if self.end_ns - incident.quiet_since_ns >= patience_s * 1e9:
            self._resolve(incident, ResolveReason.NO_TRAFFIC)

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
        for other in self.fold.open:
            hurt = other.members.keys() & self.alarms.keys()
            if other is incident or not any(self.alarms[one].own for one in hurt & other.causes):
                continue
            if any(one not in incident.members and self.fold.graph.touches(name, one) for one in hurt):
                return True
        return False

    def _resolve(self, incident: OpenIncident, reason: ResolveReason) -> None:
        self._tell(incident, "resolved", reason)
        self.fold.open.remove(incident)
        self.fold.recovered |= dict.fromkeys(incident.members, self.pane_ns)
        for name in incident.causes:
            self.fold.ended[name] = [*self.fold.ended.get(name, []), self.pane_ns][-self.config.flap_episodes :]


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
