"""Alerting decisions: each reason by name."""

from __future__ import annotations

from schemas.incidents import (
    Alert,
    Hypothesis,
    HypothesisSet,
    Impact,
    IncidentEvent,
    IncidentState,
    NotifyReason,
    ResolveReason,
    Severity,
)
from schemas.settings import Settings
from streams.alerting import AlertConfig, NotifyEntry, build_alert, needs_notifying

SECOND_NS = 1_000_000_000
OPENED_NS = 1_700_000_000 * SECOND_NS
CONFIG = AlertConfig()


def event(
    *, state: IncidentState = IncidentState.OPEN, severity: Severity = Severity.MEDIUM, sequence: int = 1
) -> IncidentEvent:
    """Return an incident as it is."""
    resolved = state is IncidentState.RESOLVED
    return IncidentEvent(
        event_id=f"inc-1-{sequence}", incident_id="inc-1", tenant="acme", sequence=sequence,
        kind="resolved" if resolved else "opened", at_ns=OPENED_NS, opened_at_ns=OPENED_NS,
        onset_ns=OPENED_NS - 10 * SECOND_NS, state=state, severity=severity, title="cart is slow", services=[],
        impact=Impact(requests=100, failed_requests=5, share=0.25, services=2),
        resolve_reason=ResolveReason.RECOVERED if resolved else None,
    )  # fmt: skip


def ranking(service: str, confidence: float = 0.9) -> HypothesisSet:
    """Return a ranking with one suspect."""
    suspect = Hypothesis(
        rank=1, suspect_kind="service", service=service, title=f"{service} itself is slow", score=2.0,
        confidence=confidence, parts=[], evidence=[],
    )  # fmt: skip
    return HypothesisSet(
        tenant="acme", incident_id="inc-1", version=1, as_of_ns=OPENED_NS, weights_version="t", hypotheses=[suspect]
    )


def at(seconds: float) -> int:
    """Return an instant after the opening."""
    return OPENED_NS + int(seconds * SECOND_NS)


def sent(seconds: float, severity: Severity = Severity.MEDIUM, cause: str = "cart") -> NotifyEntry:
    """Return what was sent so long after the opening."""
    return NotifyEntry(at_ns=at(seconds), state=IncidentState.OPEN, severity=severity, cause=cause, sent=1)


def reason(entry: NotifyEntry | None, now: IncidentEvent, seconds: float, cause: str = "cart") -> NotifyReason:
    """Return the decision so long after the opening."""
    return needs_notifying(entry, now, ranking(cause), at(seconds), CONFIG)


def test_the_first_notification_waits_for_the_group() -> None:
    """Thirty seconds, so that it can name the cause."""
    assert reason(None, event(), 29) is NotifyReason.NOT_YET
    assert reason(None, event(), 30) is NotifyReason.FIRST


def test_nothing_new_is_said_twice() -> None:
    """Until the repeat interval has gone by."""
    assert reason(sent(30), event(), 60) is NotifyReason.NOTHING_NEW
    assert reason(sent(30), event(), 30 + 4 * 3600) is NotifyReason.REPEAT


def test_a_severity_that_rose_is_told_at_once() -> None:
    """One that fell is not."""
    assert reason(sent(30), event(severity=Severity.CRITICAL), 40) is NotifyReason.ESCALATED
    assert reason(sent(30, Severity.HIGH), event(), 40) is NotifyReason.NOTHING_NEW


def test_another_cause_is_told_when_it_is_sure_and_not_too_often() -> None:
    """At most every five minutes."""
    assert reason(sent(30), event(), 100, cause="ads") is NotifyReason.NOTHING_NEW
    assert reason(sent(30), event(), 330, cause="ads") is NotifyReason.CAUSE_CHANGED
    unsure = needs_notifying(sent(30), event(), ranking("ads", 0.2), at(330), CONFIG)
    assert unsure is NotifyReason.NOTHING_NEW


def test_an_end_is_told_to_those_who_were_told_of_the_beginning() -> None:
    """And once."""
    over = event(state=IncidentState.RESOLVED, sequence=2)
    assert reason(sent(30), over, 60) is NotifyReason.RESOLVED
    assert reason(None, over, 20) is NotifyReason.NEVER_FIRED
    ended = NotifyEntry(at_ns=at(60), state=IncidentState.RESOLVED, severity=Severity.LOW, sent=2)
    assert reason(ended, over, 70) is NotifyReason.NOTHING_NEW


def test_what_is_below_the_minimum_severity_is_not_told() -> None:
    """Set by the operator."""
    config = AlertConfig.from_settings(Settings(alert_min_severity="high"))
    assert needs_notifying(None, event(), None, at(60), config) is NotifyReason.BELOW_SEVERITY


def test_an_alert_says_what_why_and_where() -> None:
    """Impact, the most likely cause with its confidence, and the path of the incident."""
    alert: Alert = build_alert(event(), ranking("cart"), NotifyReason.FIRST, at(30))
    assert "25 % of entry requests" in alert.summary
    assert "cart itself is slow (confidence 90 %)" in alert.summary
    assert alert.path == "/api/v1/incidents/inc-1"
    assert [cause.service for cause in alert.causes] == ["cart"]


def test_a_confidence_is_never_told_as_certainty() -> None:
    """It is a chance among suspects; 0.997 is not 100 %."""
    for confidence, told in ((0.997, ">99 %"), (0.99, "99 %"), (0.19, "19 %")):
        alert = build_alert(event(), ranking("cart", confidence), NotifyReason.FIRST, OPENED_NS)
        assert f"(confidence {told})" in alert.summary


def test_the_same_decision_makes_the_same_alert() -> None:
    """Its id is derived, so a replay sends nothing twice."""
    one = build_alert(event(), None, NotifyReason.FIRST, at(30))
    again = build_alert(event(), None, NotifyReason.FIRST, at(30))
    later = build_alert(event(), None, NotifyReason.REPEAT, at(30 + 4 * 3600))
    assert one.alert_id == again.alert_id != later.alert_id


def test_the_entry_after_an_alert_remembers_what_was_said() -> None:
    """Cause, severity and how often."""
    alert = build_alert(event(), ranking("cart"), NotifyReason.FIRST, at(30))
    entry = NotifyEntry.after(alert, None)
    assert (entry.cause, entry.severity, entry.sent) == ("cart", Severity.MEDIUM, 1)
    assert NotifyEntry.after(alert, entry).sent == 2


def test_an_incident_that_became_normal_is_not_told_as_recovered() -> None:
    """The word for it would be a lie."""
    over = event(state=IncidentState.RESOLVED).model_copy(update={"resolve_reason": ResolveReason.NEW_NORMAL})
    summary = build_alert(over, None, NotifyReason.RESOLVED, OPENED_NS).summary
    assert summary.startswith("Resolved (not recovered: what it is now has become normal).")


def test_an_alert_says_why_it_is_as_severe_as_it_is() -> None:
    """What decided, in the words of the incident; a fall of the severity wakes nobody."""
    grave = event(severity=Severity.HIGH).model_copy(update={"severity_reason": "40 % of the users are hit"})
    assert "High: 40 % of the users are hit." in build_alert(grave, None, NotifyReason.FIRST, at(30)).summary
    told = sent(60, Severity.HIGH)
    assert reason(told, event(severity=Severity.MEDIUM), 700) is NotifyReason.NOTHING_NEW
    assert reason(told, event(severity=Severity.HIGH), 800) is NotifyReason.NOTHING_NEW, "rises to what was told"
