"""Error logs: what lets them open an incident by themselves, and what they outlast."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind, ServiceDeviations, SignatureChange
from schemas.incidents import ResolveReason
from streams.incidents import IncidentFold
from streams.incidents.triggers import is_wrong_now
from tests.incident_runs import Run, hole, shop
from tests.made_health import deviations, pane_start, score


def test_error_logs_alone_must_last_a_minute_and_a_half() -> None:
    """Services log errors for many reasons."""
    run = Run()
    for pane in range(12):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.LOG_ERRORS, pane, since=0)]}))
    assert run.opened()[0].at_ns == pane_start(10)


def test_error_logs_that_reach_a_caller_need_not_last() -> None:
    """One user's retries fill the logs of one service; where its caller logs errors too, requests fail through both."""
    run = Run()
    logs = SeriesKind.LOG_ERRORS
    for pane in range(4):
        upper = {"checkout": [score(logs, pane, since=2)]} if pane >= 2 else {}
        run.step(pane, shop(pane, {"payments": [score(logs, pane, since=0)], **upper}))
    (event,) = run.opened()
    assert event.at_ns == pane_start(3)
    assert event.title.startswith("payments")


@pytest.mark.parametrize(("upper", "since"), [("checkout", 0), ("cart", 2)])
def test_error_logs_of_a_caller_that_began_earlier_or_of_a_stranger_confirm_nothing(upper: str, since: int) -> None:
    """Trouble spreads to callers, and not the other way round."""
    run = Run()
    logs = SeriesKind.LOG_ERRORS
    for pane in range(1, 9):
        run.step(pane, shop(pane, {"payments": [score(logs, pane, since=1)], upper: [score(logs, pane, since=since)]}))
    assert not run.opened()


def half_believed(pane: int, change: str, severity: str = "error", evidence: float = 0.6) -> list[ServiceDeviations]:
    """Return a pane of the shop: half-believed error logs of the cart, whose lines changed so since pane 0."""
    logs = score(SeriesKind.LOG_ERRORS, pane, since=0).model_copy(update={"evidence": evidence, "deviating": False})
    lines = SignatureChange(
        change=change, kind="log", template="no stock of <n>", severity=severity, first_seen_ns=pane_start(0),
        series=score(SeriesKind.SIGNATURE, pane, since=0),
    )  # fmt: skip
    return [
        one.model_copy(update={"series": [logs], "signatures": [lines]}) if one.service == "cart" else one
        for one in shop(pane)
    ]


@pytest.mark.parametrize(
    ("change", "severity", "evidence", "opens"),
    [
        ("new", "error", 0.6, 1),
        ("rising", "error", 0.6, 0),
        ("gone", "error", 0.6, 0),
        ("new", "warn", 0.6, 0),
        ("new", "error", 0.4, 0),
    ],
)
def test_half_believed_error_logs_of_lines_never_seen_before_are_an_alarm(
    change: str, severity: str, evidence: float, opens: int
) -> None:
    """They still have to last, for a minute and a half."""
    run = Run()
    for pane in range(9):
        run.step(pane, half_believed(pane, change, severity, evidence))
    assert not run.opened()
    run.step(9, half_believed(9, change, severity, evidence))
    assert len(run.opened()) == opens


def test_another_record_of_the_pane_takes_no_signatures_away() -> None:
    """The budget's record of the same service has edges and no signatures."""
    run = Run()
    for pane in range(10):
        budget = deviations("cart", pane, callers=("storefront",)).model_copy(update={"revision": 1})
        run.step(pane, [*half_believed(pane, "new"), budget])
    assert len(run.opened()) == 1


def test_error_logs_outlast_silence_of_everything() -> None:
    """Silence refutes nothing: telemetry often stops because of a fault. A worker that starts anew in it knows them."""
    run = Run()
    for pane in range(4):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.LOG_ERRORS, pane, since=0)]}))
    run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    for pane in range(4, 12):
        run.step(pane, hole(pane))
    (event,) = run.opened()
    assert event.at_ns == pane_start(10)
    assert event.title.startswith("cart")


def test_error_logs_outlast_panes_that_do_not_have_their_service() -> None:
    """A revision may tell of the others alone."""
    run = Run()
    for pane in range(4):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.LOG_ERRORS, pane, since=0)]}))
    for pane in range(4, 12):
        run.step(pane, [one for one in hole(pane) if one.service != "cart"])
    assert run.opened()[0].at_ns == pane_start(10)


def test_a_pane_without_requests_of_their_service_is_part_of_the_silence_that_error_logs_outlast() -> None:
    """Few requests leave panes empty: what was heard last stands in them too, though it is told of in silence alone."""
    run = Run()
    for pane in range(4):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.LOG_ERRORS, pane, since=0)]}))
    for pane in range(4, 6):
        others = [one for one in shop(pane) if one.service != "cart"]
        run.step(pane, [*others, deviations("cart", pane, requests=0)])
    for pane in range(6, 12):
        run.step(pane, hole(pane))
    (event,) = run.opened()
    assert event.at_ns == pane_start(10)


def test_error_logs_do_not_outlast_what_refutes_them() -> None:
    """A pane that is heard and has none, or the silence of their service alone: its user has given up."""
    run = Run()
    for pane in range(4):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.LOG_ERRORS, pane, since=0)]}))
    run.step(4, shop(4))
    for pane in range(5, 14):
        run.step(pane, hole(pane))
    assert not run.opened()


def test_a_good_request_that_ends_no_alarm_does_not_refute_error_logs() -> None:
    """Where half of the requests fail, the last pane before a hole may have none of those."""
    run = Run()
    for pane in range(4):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.LOG_ERRORS, pane, since=0)]}))
    run.step(4, shop(4, {"cart": [score(SeriesKind.LOG_ERRORS, 4, value=0.0, strength=-0.1, since=0)]}))
    for pane in range(5, 12):
        run.step(pane, hole(pane))
    (event,) = run.opened()
    assert event.at_ns == pane_start(10)


def test_error_logs_of_an_open_incident_do_not_keep_it_open_in_silence() -> None:
    """It ends for want of traffic, as early as any other."""
    ends = []
    for kind in (SeriesKind.LOG_ERRORS, SeriesKind.SELF_TIME):
        run = Run()
        for pane in range(12):
            run.step(pane, shop(pane, {"cart": [score(kind, pane, since=0)]}))
        for pane in range(12, 40):
            run.step(pane, hole(pane))
        ends.append(run.events[-1])
    assert [event.resolve_reason for event in ends] == [ResolveReason.NO_TRAFFIC] * 2
    assert ends[0].at_ns == ends[1].at_ns


def test_a_request_or_two_of_a_service_that_often_fails_are_wrong_when_all_of_them_fail() -> None:
    """They cannot be three scales above a half. One of two that fails is its habit."""
    half = score(SeriesKind.LOG_ERRORS, 1, value=1.0, median=0.5, strength=1.4).model_copy(update={"unit": "ratio"})
    assert is_wrong_now(half)
    assert is_wrong_now(half.model_copy(update={"value": 0.75, "score": 0.7}))
    assert not is_wrong_now(half.model_copy(update={"value": 0.7, "score": 0.6}))
    assert not is_wrong_now(half.model_copy(update={"unit": "ms", "value": 400.0}))


def test_a_service_that_fails_every_other_request_by_habit_has_an_incident_when_all_of_them_fail() -> None:
    """With a request in a pane none of its panes is far out, all of them together are."""
    run = Run()
    for pane in range(12):
        failing = score(SeriesKind.LOG_ERRORS, pane, value=1.0, median=0.5, strength=1.0, since=0)
        run.step(pane, shop(pane, {"payments": [failing.model_copy(update={"unit": "ratio"})]}))
    assert [event.services[0].service for event in run.opened()] == ["payments"]
