"""One open incident as the fold remembers it, and how it becomes an event."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import NodeKind, Tier
from schemas.incidents import Impact, IncidentEvent, IncidentService, IncidentState, ResolveReason, Severity
from streams.incidents.grading import Grade
from streams.incidents.hits import Hits
from streams.incidents.lately import Lately
from streams.incidents.recovery import Failures


@dataclass(slots=True)
class Member:
    """A service of the incident."""

    service: str
    node_kind: NodeKind
    since_ns: int
    reason: str
    peak: SeriesScore
    trigger: bool
    kinds: set[SeriesKind] = field(default_factory=set)
    """What of it has been told to be wrong."""
    tier: Tier | None = None
    """What it last said of itself."""
    failures: Failures = field(default_factory=Failures)

    def packed(self) -> dict[str, Any]:
        """As kept in the state."""
        return {
            "service": self.service, "kind": self.node_kind.value, "since": self.since_ns, "reason": self.reason,
            "peak": self.peak.model_dump(mode="json"), "trigger": self.trigger,
            "kinds": sorted(kind.value for kind in self.kinds), "tier": self.tier,
            "failures": self.failures.packed(),
        }  # fmt: skip

    @staticmethod
    def unpacked(body: dict[str, Any]) -> Member:
        """Read `packed` back."""
        peak = SeriesScore.model_validate(body["peak"])
        kind = NodeKind(body["kind"])
        kinds = {SeriesKind(one) for one in body.get("kinds", [peak.kind.value])}
        tier = Tier(body["tier"]) if body.get("tier") else None
        failures = Failures.unpacked(body.get("failures", []))
        return Member(
            body["service"], kind, body["since"], body["reason"], peak, body["trigger"], kinds, tier, failures
        )


@dataclass(slots=True)
class OpenIncident:
    """Everything known of an incident that is not over. Instants are ns, counts are since the onset was decided."""

    incident_id: str
    onset_ns: int
    title: str
    members: dict[str, Member] = field(default_factory=dict)
    sequence: int = 0
    grade: Grade = field(default_factory=Grade)
    hits: Hits = field(default_factory=Hits)
    calm_panes: int = 0
    quiet_since_ns: int = 0
    told_pane_ns: int = 0
    opened_at_ns: int = 0
    lately: Lately = field(default_factory=Lately)
    peak_share: float = 0.0
    renewed_ns: int = 0
    """When the newest trouble began that is no part of what was told before it; 0 while there is none."""
    flapping: bool = False
    """Its services have had incidents like it again and again: it needs longer to be over."""
    accepted: bool = False
    """Something of it lasted until it was called normal: it is not known to have recovered."""

    @property
    def severity(self) -> Severity:
        """As it is now."""
        return self.grade.severity

    @property
    def causes(self) -> set[str]:
        """The services that deviate by themselves."""
        return {name for name, member in self.members.items() if member.trigger}

    @property
    def newest_ns(self) -> int:
        """When the last of them began."""
        return max(self.members[name].since_ns for name in self.causes)

    def renew(self, since_ns: int, spread_s: float) -> None:
        """Take down when a second symptom began, if that is long after the onset and the one before."""
        if since_ns - max(self.onset_ns, self.renewed_ns) > spread_s * 1e9:
            self.renewed_ns = since_ns

    def count(self, hits: Hits) -> None:
        """Add what was counted in a pane."""
        self.hits = self.hits.plus(hits)
        self.lately.add(hits)
        self.peak_share = max(self.peak_share, self.share)

    @property
    def share(self) -> float:
        """Share of the entry requests that are hit lately; since the onset where too few came."""
        return self.lately.share(self.hits.share)

    @property
    def work_share(self) -> float:
        """Share that is hit of the own work of causes that no entry request reaches; 0 where one reaches any."""
        return self.hits.work_share

    def event(
        self, tenant: str, kind: str, at_ns: int, decided_at_ns: int, reason: ResolveReason | None = None
    ) -> IncidentEvent:
        """Return the next event and count it."""
        self.sequence += 1
        self.opened_at_ns = self.opened_at_ns or at_ns
        services = [
            IncidentService(
                service=m.service, node_kind=m.node_kind, since_ns=m.since_ns, reason=m.reason, peak=m.peak, tier=m.tier
            )
            for m in sorted(self.members.values(), key=lambda m: (not m.trigger, m.since_ns, m.service))
        ]
        return IncidentEvent(
            event_id=f"{self.incident_id}-{self.sequence}", incident_id=self.incident_id, tenant=tenant,
            sequence=self.sequence, kind=kind, at_ns=at_ns, decided_at_ns=decided_at_ns, opened_at_ns=self.opened_at_ns,
            onset_ns=self.onset_ns, renewed_ns=self.renewed_ns,
            state=IncidentState.RESOLVED if kind == "resolved" else IncidentState.OPEN, severity=self.severity,
            severity_reason=self.grade.reason, severity_terms=list(self.grade.terms), peak_severity=self.grade.peak,
            title=self.title, services=services, impact=self._impact(), resolve_reason=reason, flapping=self.flapping,
        )  # fmt: skip

    def _impact(self) -> Impact:
        minute = self.lately.minute
        return Impact(
            requests=round(self.hits.requests), missing_requests=round(self.hits.missing),
            failed_requests=self.hits.failed_requests, slow_requests=self.hits.slow_requests,
            share=round(self.share, 4), peak_share=round(self.peak_share, 4), share_now=round(minute.share, 4),
            users=round(self.hits.crowd.came.people), users_share=round(minute.users_share, 4),
            work_share=round(self.work_share, 4), services=len(self.members),
        )  # fmt: skip

    def packed(self) -> dict[str, Any]:
        """As kept in the state."""
        return {
            "id": self.incident_id, "onset": self.onset_ns, "title": self.title, "seq": self.sequence,
            "grade": self.grade.packed(), "hits": self.hits.packed(), "calm": self.calm_panes,
            "lately": self.lately.packed(), "peak_share": self.peak_share, "quiet": self.quiet_since_ns,
            "told": self.told_pane_ns, "opened": self.opened_at_ns, "renewed": self.renewed_ns,
            "flapping": self.flapping, "accepted": self.accepted,
            "members": [m.packed() for m in self.members.values()],
        }  # fmt: skip

    @staticmethod
    def unpacked(body: dict[str, Any]) -> OpenIncident:
        """Read `packed` back."""
        members = [Member.unpacked(m) for m in body["members"]]
        *before, calm = body.get("counts", [body.get("calm", 0)])
        return OpenIncident(
            body["id"], body["onset"], body["title"], {m.service: m for m in members}, body["seq"],
            Grade.unpacked(body.get("grade", [body.get("severity", Severity.LOW)])),
            Hits.unpacked(body.get("hits", before)), calm, body["quiet"], body["told"], body["opened"],
            Lately.unpacked(body.get("lately", [body.get("recent", []), []])), body.get("peak_share", 0.0),
            body.get("renewed", 0), body.get("flapping", False), body.get("accepted", False),
        )  # fmt: skip


def incident_id(tenant: str, service: str, pane_start_ns: int) -> str:
    """Return the id of the incident that this service opened in this pane: the same again in a replay."""
    return "inc-" + hashlib.sha256(f"{tenant}|{service}|{pane_start_ns}".encode()).hexdigest()[:16]
