"""A fault that fails few requests is silent now and then: one incident, which ends when good requests refute it."""

from __future__ import annotations

from schemas.deviations import SeriesKind, ServiceDeviations
from streams.incidents import IncidentFold
from streams.incidents.recovery import Failures
from tests.incident_runs import Run
from tests.made_health import deviations, score

REQUESTS = 20
"""Of a pane."""


def pane_of(pane: int, errors: int, *, deviates: bool, requests: int = REQUESTS) -> list[ServiceDeviations]:
    """Return web and cart, some of whose requests fail; its error rate deviates, or just does not."""
    rate = score(SeriesKind.ERROR_RATE, pane, value=errors / REQUESTS, median=0.001, deviating=deviates, since=0)
    rate = rate.model_copy(update={"unit": "ratio"})
    cart = deviations("cart", pane, [rate], requests=requests, errors=errors, callers=["web"])
    return [deviations("web", pane, requests=requests, entry=True), cart]


def run_of(*errors: int) -> Run:
    """Let so many requests of each pane fail: it deviates for as long as one of the last four panes had a failure."""
    run = Run()
    for pane, failed in enumerate(errors):
        run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
        run.step(pane, pane_of(pane, failed, deviates=any(errors[max(0, pane - 3) : pane + 1])))
    return run


def test_a_fault_that_is_silent_for_a_minute_and_goes_on_is_one_incident() -> None:
    """One of twenty requests fails; by chance none does for seven panes, and again."""
    run = run_of(*[1, 2, 1, 0, 1, 1, 0, 1], *[0] * 7, *[1, 1, 0, 1, 2, 0], *[0] * 7, 1, 1, 1)
    assert len(run.opened()) == 1
    assert "resolved" not in run.kinds()


def test_it_ends_when_enough_good_requests_have_come() -> None:
    """A thousand to one against one in twenty: 140 requests or so."""
    run = run_of(*[1] * 20, *[0] * 20)
    assert run.kinds()[-1] == "resolved"
    assert 20 + 7 <= (run.events[-1].at_ns - run.events[0].at_ns) / 10e9 + 1 <= 20 + 14


def test_a_fault_of_most_requests_ends_as_soon_as_nothing_deviates() -> None:
    """Twenty good requests refute it at once."""
    run = run_of(*[15] * 10, *[0] * 12)
    assert run.kinds()[-1] == "resolved"
    assert (run.events[-1].at_ns - run.events[0].at_ns) / 10e9 + 1 <= 10 + 6


def test_without_requests_to_tell_it_ends_after_ten_minutes() -> None:
    """One request a pane would need half an hour."""
    run = Run()
    for pane in range(90):
        ill = pane < 20
        run.step(pane, pane_of(pane, int(ill), deviates=ill, requests=REQUESTS if ill else 1))
    assert run.kinds()[-1] == "resolved"
    assert 59 <= (run.events[-1].at_ns - run.events[0].at_ns) / 10e9 - 20 <= 64


def test_a_failure_begins_the_test_anew_and_what_was_calm_counts_as_the_fault() -> None:
    """So the share that must be refuted is that of the whole fault, not of its bad moments."""
    one = Failures()
    one.step(100, 10, 0.0, calm=False)
    one.step(40, 0, 0.0, calm=True)
    assert one.speaks_for_health > 0
    one.step(10, 1, 0.0, calm=True)
    assert one.speaks_for_health == 0.0
    one.step(50, 5, 0.0, calm=False)
    assert one.share == 16 / 200
