"""Incidents, what most likely caused them, and who is told (units: `schemas.events`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.deviations import SeriesScore
from schemas.events import Event
from schemas.health import NodeKind, Tier


class Severity(StrEnum):
    """By impact, not by how far a number is off: requests and users that are hit, a budget that burns, and the tier."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (low) to 3 (critical)."""
        return list(Severity).index(self)


class SeverityTerm(Event):
    """What one thing that is known of an incident calls for. The gravest decides; ``tier`` is what it is changed to."""

    term: Literal["requests", "users", "work", "burn", "tier"]
    value: float | None = Field(description="A share, or how many times too fast a budget burns; none of a tier.")
    severity: Severity
    why: str


class IncidentState(StrEnum):
    """Where an incident is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    CLOSED = "closed"


RESERVED_STATES = "Reserved, and not written yet: acknowledged, mitigated, closed."


class ResolveReason(StrEnum):
    """Why an incident ended."""

    RECOVERED = "recovered"
    BY_HAND = "by_hand"
    NO_TRAFFIC = "no_traffic"
    NEW_NORMAL = "new_normal"
    """It did not recover: it has lasted so long that what it is now has become normal."""


RESERVED_REASON = "Why it ended. Reserved, and not written yet: by_hand."


class Impact(Event):
    """Who is hit: entry requests since it was opened, that is traces by the door they came in at (ADR 48).

    Requests of panes in which no cause deviates are not hit, nor is what passes no cause, or is slow or fails by habit.
    """

    requests: int = Field(description="Entry requests that came, all of the tenant's.")
    missing_requests: int = Field(0, description="That were expected and did not come: traffic stopped at a door.")
    failed_requests: int = Field(description="That failed where they came in, with a failure at a cause: beyond habit.")
    slow_requests: int = Field(
        0, description="That passed a cause and took longer than usual; where no past is known, all that did pass it."
    )
    share: float = Field(
        description="Share of the entry requests (with the missing ones) that are hit: a span of them failed, they were"
        " slow, did not come, or met with error lines. Of the last ten minutes, or of the last one where that is more."
        " Severity follows it: medium from 0.05, high from 0.2, critical from 0.5."
    )
    peak_share: float = Field(0.0, description="The most that `share` has been.")
    share_now: float = Field(0.0, description="Of the last minute alone, however few requests it had.")
    users: int = Field(0, description="People who came since it was opened, about; 0 where spans do not name them.")
    users_share: float = Field(
        0.0, description="Share of the people of the last minute that are hit: known from 20 people on, within about"
        " 0.06. Severity follows it as it does `share`, but no more than one step beyond that.",
    )  # fmt: skip
    work_share: float = Field(
        0.0, description="Where no entry request reaches a cause: share of its own work that is hit; medium at most."
    )
    services: int = Field(description="Services of the incident.")


class IncidentService(Event):
    """A service that belongs to an incident, and why."""

    service: str
    node_kind: NodeKind = NodeKind.SERVICE
    since_ns: int
    reason: str = Field(description="Why it is part of this incident, in words.")
    tier: Tier | None = Field(None, description="What the service says of itself: `service.criticality`.")
    peak: SeriesScore


class IncidentEvent(Event):
    """Something happened to an incident. Topic ``incidents.events``.

    ``event_id`` is derived from (incident_id, sequence), so a replay writes the same event again.
    Each event carries the whole incident as it is after it.
    """

    event_id: str
    incident_id: str
    tenant: str
    sequence: int
    kind: Literal["opened", "service_joined", "severity_changed", "updated", "resolved", "reopened"]
    at_ns: int = Field(description="Event time: the end of the pane that decided it.")
    decided_at_ns: int = Field(0, description="Arrival clock when it was decided: at_ns plus settling and pairing.")
    opened_at_ns: int = Field(0, description="at_ns of the event that opened it.")
    onset_ns: int = Field(description="Start of the first deviating pane.")
    renewed_ns: int = Field(
        0, description="When other trouble of its services began, minutes after all that was told before; 0: none did."
    )
    state: IncidentState
    severity: Severity = Field(
        description="As it is now. Rises at once; falls when ten minutes long less was called for."
    )
    severity_reason: str = Field("", description="What decided it, in words.")
    severity_terms: list[SeverityTerm] = Field([], description="What each thing that is known called for then.")
    peak_severity: Severity | None = Field(None, description="The gravest that it has been.")
    title: str
    services: list[IncidentService]
    impact: Impact
    resolve_reason: ResolveReason | None = Field(None, description=RESERVED_REASON)
    flapping: bool = Field(
        False, description="Goes and comes: one of its services has had other incidents minutes ago, and again."
    )


class ScorePart(Event):
    """One visible part of a score: contribution = value x weight."""

    name: str
    value: float
    weight: float
    contribution: float
    why: str


class Evidence(Event):
    """A fact that speaks for a hypothesis, with the query that shows it again."""

    kind: Literal["series", "edge", "log_errors", "signature", "trace", "deploy", "graph"]
    summary: str
    query: str = Field(description="SQL over the stores, or an API path, that returns this evidence.")
    series: SeriesScore | None = None
    trace_ids: list[str] = []


class Place(StrEnum):
    """The part a suspect plays in the story."""

    ROOT_CAUSE = "root_cause"
    FIRST_CRITICAL_FAILURE = "first_critical_failure"
    IMPACT = "impact"


class Hypothesis(Event):
    """A suspect with its score parts and evidence."""

    rank: int
    suspect_kind: Literal["service", "operation", "instance", "edge", "dependency", "deploy", "load"]
    service: str = Field(description="The service or node that is blamed (for an edge, the one that is hard to reach).")
    edge_client: str | None = None
    instance: str | None = Field(
        None, description="The one instance of the service that fails or is slow, if it is one."
    )
    operation: str | None = Field(
        None, description="The one operation of the service that fails or is slow, if the others do not."
    )
    deploy_id: str | None = None
    title: str
    score: float
    confidence: float = Field(ge=0, le=1)
    place: Place | None = None
    parts: list[ScorePart]
    evidence: list[Evidence]


class RuledOut(Event):
    """A service that was looked at and not blamed."""

    service: str
    reason: str


class HypothesisSet(Event):
    """The ranking of one incident as of one instant. Topic ``incidents.hypotheses``; a later version replaces."""

    tenant: str
    incident_id: str
    version: int
    as_of_ns: int
    weights_version: str
    hypotheses: list[Hypothesis]
    ruled_out: list[RuledOut] = []


class Deploy(Event):
    """A change that went live. Topic ``deploys.events``."""

    deploy_id: str
    tenant: str
    service: str
    version: str = ""
    environment: str = ""
    kind: Literal["deploy", "rollback", "config"] = "deploy"
    at_ns: int
    source: Literal["api", "github", "argocd", "telemetry"] = "api"
    url: str = ""
    description: str = ""


class NotifyReason(StrEnum):
    """Why an alert is, or is not, sent."""

    FIRST = "first_notification"
    ESCALATED = "severity_rose"
    CAUSE_CHANGED = "leading_hypothesis_changed"
    REPEAT = "repeat_interval_elapsed"
    RESOLVED = "resolved"
    NOT_YET = "group_wait"
    NOTHING_NEW = "nothing_new"
    BELOW_SEVERITY = "below_minimum_severity"
    NEVER_FIRED = "resolved_before_first_notification"


class AlertCause(Event):
    """A leading hypothesis as an alert tells it."""

    service: str
    title: str
    confidence: float
    place: Place | None = None


class Alert(Event):
    """A notification. Topic ``alerts``; ``alert_id`` is derived from (incident_id, reason, sequence)."""

    alert_id: str
    tenant: str
    incident_id: str
    reason: NotifyReason
    state: IncidentState
    severity: Severity
    title: str
    summary: str
    at_ns: int
    onset_ns: int
    services: list[str]
    causes: list[AlertCause] = []
    route: str = "default"
    path: str = Field(description="API path of the incident.")
