"""A service that is ill, well, ill again: after the third time it is one incident that goes and comes."""

from __future__ import annotations

from schemas.deviations import SeriesKind
from schemas.incidents import IncidentEvent
from streams.incidents import IncidentFold
from tests.incident_runs import Run, gap, shop
from tests.made_health import pane_start, score


def cycling(ill: int, well: int, panes: int, restart: bool = False) -> list[IncidentEvent]:
    """Run a shop whose payments is hard to reach for some panes, then well for some, over and over; then well."""
    run = Run()
    for pane in range(panes + 60):
        begin = pane - pane % (ill + well)
        bad = [gap(pane, "checkout", since=begin)] if pane < panes and pane - begin < ill else []
        run.step(pane, shop(pane, {"payments": bad}))
        if restart:
            run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    return run.events


def told(events: list[IncidentEvent], kind: str) -> list[IncidentEvent]:
    """Return the events of one kind."""
    return [event for event in events if event.kind == kind]


def test_what_goes_and_comes_is_one_incident_from_the_third_time_on() -> None:
    """Ill for one minute of three, for half an hour: ten times. Nobody is told of more than three."""
    events = cycling(ill=6, well=12, panes=180)
    assert [event.flapping for event in told(events, "opened")] == [False, False, True]
    assert [event.flapping for event in told(events, "resolved")] == [False, False, True]


def test_a_flapping_incident_ends_when_it_has_been_calm_for_minutes() -> None:
    """Thirty panes after the last bad one; one that does not flap needs three."""
    events = cycling(ill=6, well=12, panes=180)
    first, _, last = told(events, "resolved")
    assert first.at_ns == pane_start(6 + 3)
    assert last.at_ns == pane_start(180 - 12 + 30)


def test_requests_of_the_calm_minutes_are_not_hit() -> None:
    """It is open then, and nothing is wrong: of eighteen panes six are ill, and the last thirty none."""
    last = told(cycling(ill=6, well=12, panes=180), "resolved")[-1]
    assert last.impact.slow_requests < 0.45 * last.impact.requests


def test_what_comes_back_seldom_does_not_flap() -> None:
    """Every six minutes: each is an incident, and over after half a minute of calm."""
    events = cycling(ill=6, well=30, panes=180)
    assert [event.flapping for event in told(events, "opened")] == [False] * 5
    assert len(told(events, "resolved")) == 5


def test_other_services_do_not_make_one_flap() -> None:
    """Three services fail one after the other: three faults, or one that moves."""
    run = Run()
    for pane in range(60):
        name, client = [("payments", "checkout"), ("cart", "storefront"), ("checkout", "storefront")][pane // 20]
        bad = [gap(pane, client, since=pane - pane % 20)] if pane % 20 < 5 else []
        run.step(pane, shop(pane, {name: bad}))
    assert [event.flapping for event in run.opened()] == [False] * 3


def test_a_restart_does_not_forget_that_it_flaps() -> None:
    """The state has the ends of the incidents before."""
    assert cycling(ill=6, well=12, panes=90, restart=True) == cycling(ill=6, well=12, panes=90)


def test_a_symptom_that_was_there_each_time_does_not_flap() -> None:
    """The storefront suffers in all three; its own incident after them is its first."""
    run = Run()
    for pane in range(70):
        ill = pane < 54 and pane % 18 < 6
        bad = {"payments": [gap(pane, "checkout", since=pane - pane % 18)]} if ill else {}
        bad["storefront"] = [score(SeriesKind.P95, pane, since=pane - pane % 18)] if ill else []
        bad["checkout"] = bad["storefront"]
        if pane >= 62:
            bad["storefront"] = [
                score(SeriesKind.LOG_ERRORS, pane, since=40),
                score(SeriesKind.SELF_TIME, pane, since=62),
            ]
        run.step(pane, shop(pane, bad))
    assert [(event.services[0].service, event.flapping) for event in run.opened()][-2:] == [
        ("payments", True), ("storefront", False),
    ]  # fmt: skip
