"""Whether somebody must be told, with the reason by name, and what they are told.

The decision is a pure function of what was last sent, the incident as it is, and event time; so log, metric and test
all say why (the way of Prometheus Alertmanager's notification stage).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from schemas.incidents import (
    Alert,
    AlertCause,
    HypothesisSet,
    IncidentEvent,
    IncidentState,
    NotifyReason,
    ResolveReason,
    Severity,
)
from schemas.settings import Settings
from schemas.shares import confidence_in_words, share_in_words

_NS = 1_000_000_000
_OVER = (IncidentState.RESOLVED, IncidentState.CLOSED)
_WHY_OVER = {reason: reason.value for reason in ResolveReason} | {
    ResolveReason.NEW_NORMAL: "not recovered: what it is now has become normal"
}


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """When to tell. Durations in seconds of event time."""

    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    """A changed cause is told at most this often."""
    repeat_interval_s: float = 4 * 3600.0
    min_severity: Severity = Severity.LOW
    sure: float = 0.5
    """Confidence from which a leading cause that changes is worth another message."""

    @staticmethod
    def from_settings(settings: Settings) -> AlertConfig:
        """Take what an operator can set."""
        return AlertConfig(
            group_wait_s=settings.alert_group_wait_s,
            repeat_interval_s=settings.alert_repeat_interval_s,
            min_severity=Severity(settings.alert_min_severity),
        )


class NotifyEntry(BaseModel):
    """What was last sent about an incident."""

    model_config = ConfigDict(frozen=True)

    at_ns: int
    state: IncidentState
    severity: Severity
    cause: str = ""
    sent: int = 0

    @staticmethod
    def after(alert: Alert, before: NotifyEntry | None) -> NotifyEntry:
        """Return the entry once this alert is sent."""
        cause = alert.causes[0].service if alert.causes else (before.cause if before else "")
        sent = (before.sent if before else 0) + 1
        return NotifyEntry(at_ns=alert.at_ns, state=alert.state, severity=alert.severity, cause=cause, sent=sent)


def needs_notifying(
    entry: NotifyEntry | None, event: IncidentEvent, hypotheses: HypothesisSet | None, at_ns: int, config: AlertConfig
) -> NotifyReason:
    """Decide. `entry` is what was last sent (None: nothing yet), `at_ns` the present in event time."""
    if event.state in _OVER:
        if entry is None:
            return NotifyReason.NEVER_FIRED
        return NotifyReason.NOTHING_NEW if entry.state in _OVER else NotifyReason.RESOLVED
    if event.severity.rank < config.min_severity.rank and entry is None:
        return NotifyReason.BELOW_SEVERITY
    if entry is None:
        opened_ns = event.opened_at_ns or event.onset_ns
        return NotifyReason.NOT_YET if at_ns - opened_ns < config.group_wait_s * _NS else NotifyReason.FIRST
    if event.severity.rank > entry.severity.rank:
        return NotifyReason.ESCALATED
    since_s = (at_ns - entry.at_ns) / _NS
    if since_s >= config.group_interval_s and _other_cause(entry, hypotheses, config.sure):
        return NotifyReason.CAUSE_CHANGED
    return NotifyReason.REPEAT if since_s >= config.repeat_interval_s else NotifyReason.NOTHING_NEW


def _other_cause(entry: NotifyEntry, hypotheses: HypothesisSet | None, sure: float) -> bool:
    if hypotheses is None or not hypotheses.hypotheses:
        return False
    lead = hypotheses.hypotheses[0]
    return lead.confidence >= sure and lead.service != entry.cause


def build_alert(event: IncidentEvent, hypotheses: HypothesisSet | None, reason: NotifyReason, at_ns: int) -> Alert:
    """Write the message. Its id is derived, so the same decision makes the same alert again."""
    suspects = hypotheses.hypotheses[:3] if hypotheses else []
    causes = [AlertCause(service=h.service, title=h.title, confidence=h.confidence, place=h.place) for h in suspects]
    seed = f"{event.incident_id}|{reason.value}|{event.sequence}|{at_ns}"
    return Alert(
        alert_id="alert-" + hashlib.sha256(seed.encode()).hexdigest()[:16], tenant=event.tenant,
        incident_id=event.incident_id, reason=reason, state=event.state, severity=event.severity, title=event.title,
        summary=_summary(event, causes), at_ns=at_ns, onset_ns=event.onset_ns,
        services=[one.service for one in event.services], causes=causes, path=f"/api/v1/incidents/{event.incident_id}",
    )  # fmt: skip


def _summary(event: IncidentEvent, causes: list[AlertCause]) -> str:
    impact = event.impact
    share = max(impact.share, impact.peak_share) if event.state in _OVER else impact.share
    hit = f"{share_in_words(share)} of entry requests hit ({impact.services} services)"
    if event.flapping:
        hit = f"Goes and comes. {hit}"
    if event.state in _OVER:
        reason = _WHY_OVER[event.resolve_reason] if event.resolve_reason else "by hand"
        return f"Resolved ({reason}). At most {hit}."
    if event.severity_reason:
        hit = f"{hit}. {event.severity.value.capitalize()}: {event.severity_reason}"
    if not causes:
        return f"{hit}. Cause not known yet."
    lead = causes[0]
    return f"{hit}. Most likely cause: {lead.title} (confidence {confidence_in_words(lead.confidence)})."
