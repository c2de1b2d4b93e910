"""Incidents, their timeline and their ranking as readers see them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api.parameters import rfc3339
from api.paths import incident_path
from schemas.incidents import (
    RESERVED_REASON,
    RESERVED_STATES,
    Hypothesis,
    HypothesisSet,
    Impact,
    IncidentEvent,
    IncidentService,
    IncidentState,
    ResolveReason,
    RuledOut,
    Severity,
    SeverityTerm,
)
from sinks.postgres.incidents import Incident


class IncidentView(BaseModel):
    """An incident as it is now. Every instant is given twice: nanoseconds to compute with, text to read."""

    incident_id: str
    name: str = Field(description="What people call it; also taken wherever an incident id is.")
    state: IncidentState = Field(description=RESERVED_STATES)
    severity: Severity = Field(
        description="As it is now. Rises at once; falls when ten minutes long less was called for."
    )
    severity_reason: str = Field(description="What decided it, in words.")
    severity_terms: list[SeverityTerm] = Field(description="What each thing that is known called for then.")
    peak_severity: Severity = Field(description="The gravest that it has been.")
    title: str
    onset_ns: int = Field(description="Start of the first deviating pane.")
    onset_at: str
    opened_ns: int
    opened_at: str
    updated_ns: int
    updated_at: str
    resolved_ns: int | None = None
    resolved_at: str | None = None
    resolve_reason: ResolveReason | None = Field(None, description=RESERVED_REASON)
    flapping: bool = Field(
        description="Goes and comes: the third of a service in ten minutes. It ends when calm for five."
    )
    services: list[IncidentService]
    impact: Impact
    links: dict[str, str]

    @classmethod
    def of(cls, incident: Incident) -> IncidentView:
        """Return the view of a stored incident."""
        current, path = incident.current, incident_path(incident.current.incident_id)
        return cls(
            incident_id=current.incident_id,
            name=incident.name,
            state=current.state,
            severity=current.severity,
            severity_reason=current.severity_reason,
            severity_terms=current.severity_terms,
            peak_severity=current.peak_severity or current.severity,
            title=current.title,
            onset_ns=current.onset_ns,
            onset_at=rfc3339(current.onset_ns),
            opened_ns=incident.opened_ns,
            opened_at=rfc3339(incident.opened_ns),
            updated_ns=incident.updated_ns,
            updated_at=rfc3339(incident.updated_ns),
            resolved_ns=incident.resolved_ns,
            resolved_at=None if incident.resolved_ns is None else rfc3339(incident.resolved_ns),
            resolve_reason=current.resolve_reason,
            flapping=current.flapping,
            services=current.services,
            impact=current.impact,
            links={
                "self": path,
                "overview": f"{path}/overview",
                "timeline": f"{path}/timeline",
                "hypotheses": f"{path}/hypotheses",
                "snapshot": f"{path}/snapshot",
                "evidence": f"{path}/evidence",
                "similar": f"{path}/similar",
            },
        )


class IncidentPage(BaseModel):
    """Incidents, latest onset first."""

    items: list[IncidentView]
    next_cursor: str | None = Field(None, description="Give it as `cursor` for the next page; null on the last.")


class TimelineEntry(BaseModel):
    """Something that happened to an incident."""

    sequence: int
    kind: Literal["opened", "service_joined", "severity_changed", "updated", "resolved", "reopened"]
    at_ns: int
    at: str
    state: IncidentState
    severity: Severity
    severity_reason: str = Field(description="What decided it, in words.")
    title: str
    services: list[str] = Field(description="Who belonged to the incident after it.")
    reasons: list[str] = Field(description="Of each of them why, and what else has gone wrong with it since.")
    resolve_reason: ResolveReason | None = Field(None, description=RESERVED_REASON)

    @classmethod
    def of(cls, event: IncidentEvent) -> TimelineEntry:
        """Return the entry of a stored event."""
        return cls(
            sequence=event.sequence,
            kind=event.kind,
            at_ns=event.at_ns,
            at=rfc3339(event.at_ns),
            state=event.state,
            severity=event.severity,
            severity_reason=event.severity_reason,
            title=event.title,
            services=[entry.service for entry in event.services],
            reasons=[entry.reason for entry in event.services],
            resolve_reason=event.resolve_reason,
        )


class Timeline(BaseModel):
    """What happened to an incident, oldest first."""

    incident_id: str
    items: list[TimelineEntry]
    next_after: int | None = Field(None, description="Give it as `after` for the rest; null when this is all.")


class Ranking(BaseModel):
    """The hypotheses of an incident as of an instant; version 0 with none of them while nothing is ranked yet."""

    incident_id: str
    version: int
    as_of_ns: int | None = None
    as_of: str | None = None
    weights_version: str | None = None
    hypotheses: list[Hypothesis] = []
    ruled_out: list[RuledOut] = []

    @classmethod
    def of(cls, incident_id: str, ranked: HypothesisSet | None) -> Ranking:
        """Return the view of a stored ranking, or of none."""
        if ranked is None:
            return cls(incident_id=incident_id, version=0)
        return cls(
            incident_id=incident_id,
            version=ranked.version,
            as_of_ns=ranked.as_of_ns,
            as_of=rfc3339(ranked.as_of_ns),
            weights_version=ranked.weights_version,
            hypotheses=ranked.hypotheses,
            ruled_out=ranked.ruled_out,
        )
