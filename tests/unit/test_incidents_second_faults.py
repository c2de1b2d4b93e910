"""A second fault at a service whose incident is still open: it joins, and is told."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind, SeriesScore
from schemas.incidents import Severity
from streams.incidents import IncidentFold
from tests.incident_runs import Run, gap, shop
from tests.made_health import deviations, pane_start, score

SECOND = 62
"""Not in the rhythm in which an incident tells how it is anyway."""


def failing(pane: int, since: int) -> SeriesScore:
    """Return a service that fails half of its requests."""
    errors = score(SeriesKind.ERROR_RATE, pane, value=0.5, median=0.0, since=since)
    return errors.model_copy(update={"unit": "ratio"})


def slow_then_failing(first_ends: int, last: int) -> Run:
    """Run a shop whose payments are hard to reach from the first pane on and fail from `SECOND` on."""
    run = Run()
    for pane in range(last):
        bad = [gap(pane, "checkout", since=0)] if pane < first_ends else []
        bad += [failing(pane, SECOND)] if pane >= SECOND else []
        run.step(pane, shop(pane, {"payments": bad}))
    return run


@pytest.mark.parametrize("first_ends", [SECOND + 10, SECOND - 1])
def test_errors_ten_minutes_after_slowness_are_told_when_they_begin(first_ends: int) -> None:
    """While the first fault lasts, and when it was mended just before: in the incident, in the pane they begin in."""
    run = slow_then_failing(first_ends, SECOND + 4)
    assert len(run.opened()) == 1
    [told] = [event for event in run.events if "error rate" in event.services[0].reason][:1]
    assert told.kind == "updated"
    assert told.at_ns == run.opened()[0].at_ns + SECOND * 10_000_000_000
    assert told.services[0].reason.endswith("(normally 3 ms); 620 s later also error rate 50 % (normally 0 %)")
    assert [event.renewed_ns for event in run.events if event.sequence < told.sequence] == [0] * (told.sequence - 1)
    assert told.renewed_ns == pane_start(SECOND)


def test_a_fault_that_grows_in_its_first_minutes_is_the_same() -> None:
    """Slowness of which requests begin to fail: it is looked at from its onset on."""
    run = Run()
    for pane in range(40):
        errors = [failing(pane, since=20)] if pane >= 20 else []
        run.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=0), *errors]}))
        run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    assert "error rate" in run.events[-1].services[0].reason
    assert {event.renewed_ns for event in run.events} == {0}


def test_a_symptom_is_told_once() -> None:
    """However long both last, the reason has each once."""
    run = slow_then_failing(SECOND + 30, SECOND + 30)
    assert run.events[-1].services[0].reason.count("also") == 1


def test_what_is_wrong_from_the_beginning_is_no_second_symptom() -> None:
    """One fault has several symptoms, and a budget burns after them."""
    run = Run()
    for pane in range(20):
        burning = score(SeriesKind.BURN_RATE, pane, value=20.0, median=1.0, since=5)
        bad = [gap(pane, "checkout", since=0), failing(pane, 0), *([burning] if pane >= 5 else [])]
        run.step(pane, shop(pane, {"payments": bad}))
    assert all("also" not in event.services[0].reason for event in run.events)


def test_after_a_restart_what_was_told_is_not_told_again() -> None:
    """The state knows it."""
    run = slow_then_failing(SECOND + 5, SECOND + 5)
    again = Run(IncidentFold.from_bytes("acme", None, run.fold.to_bytes()))
    for pane in range(SECOND + 5, SECOND + 8):
        again.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=0), failing(pane, SECOND)]}))
    [incident] = again.fold.open
    assert incident.members["payments"].reason.count("also") == 1


def test_a_long_incident_becomes_more_severe_when_more_requests_fail_than_ever() -> None:
    """An hour in which a few requests were hit does not water down a minute in which most are."""
    run = Run()
    for pane in range(366):
        broken = 900 if pane >= 360 else 0
        slow = deviations("payments", pane, [gap(pane, "checkout", since=0)], requests=20, callers=["checkout"])
        door = deviations("storefront", pane, requests=1_000, errors=broken, entry=True)
        run.step(pane, [door, deviations("checkout", pane, requests=20, callers=["storefront"]), slow])
    severer = [event for event in run.events if event.kind == "severity_changed"]
    assert [event.severity for event in severer] == [Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
    assert (severer[-1].impact.failed_requests, severer[-1].impact.share) == (3_600, 0.6)  # 4 panes of it, of 6


def test_a_few_requests_of_a_quiet_minute_make_no_incident_more_severe() -> None:
    """Five of eight requests in a minute of the night are no share of anything."""
    run = Run()
    for pane in range(60):
        at_night = pane >= 30
        slow = deviations("payments", pane, [gap(pane, "checkout", since=0)], requests=1, callers=["checkout"])
        door = deviations("storefront", pane, requests=2 if at_night else 1_000, errors=int(at_night), entry=True)
        run.step(pane, [door, deviations("checkout", pane, requests=1, callers=["storefront"]), slow])
    assert {event.severity for event in run.events} == {Severity.LOW}
