"""How severe an incident is, and what it says of why."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind
from schemas.health import Tier
from schemas.incidents import Severity
from streams.incidents.grading import Grade
from streams.incidents.severity import Reading, Verdict, verdict_of
from tests.incident_runs import Run, gap, shop
from tests.made_health import score

MINUTE_NS = 60_000_000_000
FALL_NS = 10 * MINUTE_NS


def verdict(severity: Severity) -> Verdict:
    """Return a verdict that says its own name."""
    return Verdict(severity, (), severity.value)


def told(*called_for: Severity) -> list[Severity]:
    """Return the severities that a grade tells of when every minute something is called for."""
    grade, changes = Grade(), []
    for minute, severity in enumerate(called_for, start=1):
        grade = Grade.unpacked(grade.packed())
        if grade.step(verdict(severity), minute * MINUTE_NS, FALL_NS):
            changes.append(grade.severity)
            assert grade.reason == grade.severity.value
    return changes


@pytest.mark.parametrize(
    ("reading", "severity", "reason"),
    [
        (Reading(share=0.22), Severity.HIGH, "22 % of the entry requests are hit"),
        (Reading(share=0.01), Severity.LOW, "1 % of the entry requests are hit"),
        (
            Reading(share=0.01, burn=20.0, burning="cart"),
            Severity.HIGH,
            "the error budget of cart burns 20 times too fast",
        ),
        (Reading(work_share=0.9), Severity.MEDIUM, "90 % of work that no user waits for is hit"),
        (Reading(share=0.06, users_share=0.4), Severity.HIGH, "40 % of the users of a minute are hit"),
        (Reading(share=0.3, users_share=0.4), Severity.HIGH, "30 % of the entry requests are hit"),
    ],
)
def test_what_decides_is_told(reading: Reading, severity: Severity, reason: str) -> None:
    """The gravest term; of equal ones the requests."""
    found = verdict_of(reading)
    assert (found.severity, found.reason) == (severity, reason)


def test_users_call_for_one_step_more_than_their_requests_at_most() -> None:
    """Most users of a minute met one failure among many requests that went well: they are not cut off."""
    found = verdict_of(Reading(share=0.01, users_share=0.9))
    assert found.severity is Severity.MEDIUM
    assert [term.term for term in found.terms] == ["requests", "users"]


def test_a_critical_service_makes_it_one_step_graver_and_says_so() -> None:
    """Whichever of its services says so."""
    found = verdict_of(Reading(share=0.1, tiers={"cart": Tier.LOW, "checkout": Tier.CRITICAL, "web": None}))
    assert found.severity is Severity.HIGH
    assert found.reason == "10 % of the entry requests are hit; one step more, as checkout is of critical tier"
    assert verdict_of(Reading(share=0.9, tiers={"checkout": Tier.CRITICAL})).severity is Severity.CRITICAL


def test_services_of_low_tier_alone_make_it_medium_at_most() -> None:
    """One that does not say how much it matters may matter."""
    low = {"wiki": Tier.LOW, "search": Tier.LOW}
    found = verdict_of(Reading(share=0.9, tiers=low))
    assert (found.severity, found.terms[-1].term) == (Severity.MEDIUM, "tier")
    assert verdict_of(Reading(share=0.01, tiers=low)).severity is Severity.LOW
    assert verdict_of(Reading(share=0.9, tiers=low | {"web": None})).severity is Severity.CRITICAL


def test_high_and_medium_tiers_change_nothing() -> None:
    """They are what everybody takes a service for."""
    assert verdict_of(Reading(share=0.3, tiers={"web": Tier.HIGH, "cart": Tier.MEDIUM})).severity is Severity.HIGH


def test_severity_rises_at_once_and_falls_after_ten_minutes_of_less() -> None:
    """To the most that was called for meanwhile, not to the last."""
    high, medium, low = Severity.HIGH, Severity.MEDIUM, Severity.LOW
    assert told(high, *[low] * 5, medium, *[low] * 3) == [high]
    assert told(high, *[low] * 5, medium, *[low] * 5) == [high, medium]
    assert told(high, *[low] * 22) == [high, low]


def test_an_impact_that_goes_and_comes_changes_no_severity() -> None:
    """Nine minutes of less are not ten: nothing is told, and nobody is woken again."""
    assert told(*([Severity.HIGH, *[Severity.LOW] * 9] * 6)) == [Severity.HIGH]


def test_what_an_incident_was_at_its_worst_is_kept() -> None:
    """Its severity now says what to do now."""
    grade = Grade()
    for minute in range(1, 14):
        grade.step(verdict(Severity.CRITICAL if minute == 1 else Severity.MEDIUM), minute * MINUTE_NS, FALL_NS)
    assert (grade.severity, grade.peak) == (Severity.MEDIUM, Severity.CRITICAL)


def test_who_only_suffers_counts_when_the_incident_is_told_first() -> None:
    """Payments is slow, and checkout, of critical tier, waits for it: one event, and it knows."""
    bad = {"payments": [gap(0, "checkout")], "checkout": [score(SeriesKind.P95, 0)]}
    tiers = {"checkout": Tier.CRITICAL}
    [event] = Run().step(0, [one.model_copy(update={"tier": tiers.get(one.service)}) for one in shop(0, bad)])
    assert (event.kind, len(event.services)) == ("opened", 2)
    assert [one.tier for one in event.services] == [None, Tier.CRITICAL]
