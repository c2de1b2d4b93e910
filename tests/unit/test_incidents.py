"""Incidents: one per causal group; what opens, joins and ends them."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import NodeKind
from schemas.incidents import ResolveReason, Severity
from streams.incidents import IncidentConfig, IncidentFold
from streams.incidents.severity import severity_of
from tests.incident_runs import Run, gap, shop
from tests.made_health import deviations, pane_start, score


def test_a_deviation_of_its_own_opens_an_incident_and_its_callers_join() -> None:
    """The callers are slow because of it, and the reason says so."""
    run = Run()
    run.step(0, shop(0))
    slow = score(SeriesKind.P95, 1)
    run.step(1, shop(1, {"payments": [gap(1, "checkout")], "checkout": [slow], "storefront": [slow]}))
    (event,) = run.opened()
    assert [s.service for s in event.services] == ["payments", "checkout", "storefront"]
    assert "calls payments" in event.services[1].reason
    assert event.onset_ns == pane_start(1)
    assert event.decided_at_ns == pane_start(1) + 25_000_000_000
    assert event.at_ns == event.opened_at_ns == pane_start(2)


def test_a_symptom_alone_opens_nothing() -> None:
    """A slow front door without any reason behind it is not an incident of its own."""
    run = Run()
    for pane in range(10):
        run.step(pane, shop(pane, {"storefront": [score(SeriesKind.P95, pane, since=0)]}))
    assert run.kinds() == []


@pytest.mark.parametrize("again", [1, 0])
def test_a_pane_that_is_not_newer_changes_nothing(again: int) -> None:
    """After a crash panes come again: what they told is told, and counted, once."""
    run, once = Run(), Run()
    for pane in range(2):
        for each in (run, once):
            each.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=0)]}))
    cart_too = {"payments": [gap(again, "checkout", since=0)], "cart": [score(SeriesKind.SELF_TIME, again, since=0)]}
    assert run.step(again, shop(again, cart_too)) == []
    assert run.fold.to_bytes() == once.fold.to_bytes()


def test_an_incident_is_opened_once_however_long_it_lasts() -> None:
    """And says every minute how it is."""
    run = Run()
    for pane in range(20):
        run.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=0)]}))
    assert run.kinds().count("opened") == 1
    assert 2 <= run.kinds().count("updated") <= 4


def test_two_faults_in_services_that_are_no_neighbours_are_two_incidents() -> None:
    """They share a caller, but began minutes apart."""
    run = Run()
    for pane in range(30):
        bad = {"payments": [gap(pane, "checkout", since=0)]}
        if pane >= 20:
            bad["cart"] = [score(SeriesKind.SELF_TIME, pane, since=20)]
        run.step(pane, shop(pane, bad))
    assert [event.services[0].service for event in run.opened()] == ["payments", "cart"]


def test_neighbours_that_begin_together_are_one_incident() -> None:
    """A caller without CPU makes all its calls slow."""
    run = Run()
    run.step(0, shop(0))
    late = {"checkout": [gap(2, "storefront", since=1)], "cart": [gap(2, "storefront", since=1)]}
    run.step(1, shop(1, {"storefront": [score(SeriesKind.SELF_TIME, 1)]}))
    run.step(2, shop(2, {"storefront": [score(SeriesKind.SELF_TIME, 2, since=1)], **late}))
    assert run.kinds() == ["opened", "service_joined"]


def test_a_callee_that_begins_minutes_later_has_an_incident_of_its_own() -> None:
    """Trouble spreads to callers; a callee's new fault must not hide in an old incident of its caller."""
    run = Run()
    for pane in range(40):
        bad = {"checkout": [score(SeriesKind.SELF_TIME, pane, since=0)]}
        if pane >= 30:
            bad["payments"] = [score(SeriesKind.SELF_TIME, pane, since=30)]
        run.step(pane, shop(pane, bad))
    assert [event.services[0].service for event in run.opened()] == ["checkout", "payments"]


def test_a_caller_that_begins_minutes_later_joins() -> None:
    """It fails because of what it calls."""
    run = Run()
    for pane in range(40):
        bad = {"payments": [score(SeriesKind.SELF_TIME, pane, since=0)]}
        if pane >= 30:
            bad["checkout"] = [score(SeriesKind.SELF_TIME, pane, since=30)]
        run.step(pane, shop(pane, bad))
    assert len(run.opened()) == 1
    assert "service_joined" in run.kinds()


def test_a_caller_that_begins_long_after_has_an_incident_of_its_own() -> None:
    """A weak deviation that lasts must not swallow the next fault of everything that calls it."""
    run = Run()
    for pane in range(80):
        bad = {"payments": [score(SeriesKind.SELF_TIME, pane, since=0)]}
        if pane >= 60:
            bad["checkout"] = [score(SeriesKind.SELF_TIME, pane, since=60)]
        run.step(pane, shop(pane, bad))
    assert [[one.service for one in event.services] for event in run.opened()] == [["payments"], ["checkout"]]
    assert "service_joined" not in run.kinds()


def test_trouble_that_spreads_from_one_to_the_next_stays_one_incident_however_long_it_takes() -> None:
    """From payments to checkout to the storefront, four minutes each."""
    run = Run()
    for pane in range(80):
        begun = {"payments": 0, "checkout": 24, "storefront": 48}
        bad = {name: [score(SeriesKind.SELF_TIME, pane, since=at)] for name, at in begun.items() if pane >= at}
        run.step(pane, shop(pane, bad))
    assert len(run.opened()) == 1
    assert run.kinds().count("service_joined") == 2


def test_a_service_of_an_old_incident_that_deviates_anew_does_not_pull_others_into_it() -> None:
    """Two that are called by one and the same begin together, long after; both are in the new incident, and stay."""
    run = Run()
    for pane in range(90):
        bad = {"checkout": [score(SeriesKind.SELF_TIME, pane, since=0 if pane < 60 else 60)]}
        if pane >= 60:
            bad["cart"] = [score(SeriesKind.SELF_TIME, pane, since=60)]
        run.step(pane, shop(pane, bad))
    old, new = run.opened()
    assert [one.service for one in old.services] == ["checkout"]
    assert {one.service for one in new.services} == {"cart", "checkout"}
    assert new.onset_ns == pane_start(60)
    assert "service_joined" not in run.kinds()


def test_errors_that_come_from_a_callee_are_a_symptom() -> None:
    """The callee leads, whatever order the services come in."""
    run = Run()
    run.step(0, shop(0))
    failing = {"payments": [score(SeriesKind.ERROR_RATE, 1)], "checkout": [score(SeriesKind.ERROR_RATE, 1)]}
    run.step(1, shop(1, failing))
    (event,) = run.opened()
    assert event.title.startswith("payments")


@pytest.mark.parametrize(("budget", "opens"), [("latency", True), (None, False)])
def test_a_callee_that_burns_its_budget_excuses_failures_only_by_failing(budget: str | None, opens: bool) -> None:
    """Slow callees, which burn a latency budget, make nobody fail."""
    run = Run()
    run.step(10, shop(10))
    for pane in range(11, 16):
        burn = score(SeriesKind.BURN_RATE, pane, value=20.0).model_copy(update={"name": budget})
        bad = {"checkout": [score(SeriesKind.ERROR_RATE, pane, since=11)], "payments": [burn]}
        run.step(pane, shop(pane, bad))
    found = {one.service: one.reason for event in run.opened() for one in event.services}
    assert ("it calls payments" not in found["checkout"]) is opens


def test_a_caller_that_is_slow_with_its_callee_burns_no_latency_budget_by_itself() -> None:
    """Both burn it: the callee is to blame."""
    run = Run()
    run.step(10, shop(10))
    for pane in range(11, 14):
        burn = score(SeriesKind.BURN_RATE, pane, value=20.0).model_copy(update={"name": "latency"})
        run.step(pane, shop(pane, {"checkout": [burn], "payments": [burn]}))
    reasons = {one.service: one.reason for one in run.opened()[0].services}
    assert "it calls payments" in reasons["checkout"]
    assert "it calls" not in reasons["payments"]


def test_a_recovered_incident_is_resolved_after_a_few_calm_panes() -> None:
    """Not in the first one."""
    run = Run()
    for pane in range(5):
        run.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=0)]}))
    told = [run.step(pane, shop(pane)) for pane in range(5, 10)]
    resolved = [[e.kind for e in events] for events in told].index(["resolved"])
    assert resolved == IncidentConfig().calm_panes - 1
    assert run.events[-1].resolve_reason is ResolveReason.RECOVERED


def two_faults(panes: int, mended: int) -> Run:
    """Run a shop whose cart is slow until `mended` and whose payments are from pane 12 on; the storefront always is."""
    run = Run()
    for pane in range(panes):
        bad = {"storefront": [score(SeriesKind.P95, pane, since=0)]}
        if pane < mended:
            bad["cart"] = [gap(pane, "storefront", since=0)]
        if pane >= 12:
            bad |= {"payments": [gap(pane, "checkout", since=12)], "checkout": [score(SeriesKind.P95, pane, since=12)]}
        run.step(pane, shop(pane, bad))
    return run


def test_an_incident_ends_when_its_callers_suffer_from_another_one_only() -> None:
    """Two faults below one caller: the first is mended, the second keeps the caller slow and is its incident then."""
    run = two_faults(panes=40, mended=20)
    assert [event.services[0].service for event in run.opened()] == ["cart", "payments"]
    (resolved,) = [event for event in run.events if event.kind == "resolved"]
    assert resolved.services[0].service == "cart"
    assert resolved.at_ns == pane_start(23)
    assert "storefront" in [one.service for one in run.events[-1].services]


def test_a_caller_that_suffers_without_another_incident_holds_its_own_open() -> None:
    """The cause looks well again, the caller does not."""
    run = Run()
    for pane in range(40):
        slow = {"storefront": [score(SeriesKind.P95, pane, since=0)]}
        run.step(pane, shop(pane, slow | ({"cart": [gap(pane, "storefront", since=0)]} if pane < 20 else {})))
    assert "resolved" not in run.kinds()


def test_an_incident_does_not_begin_before_the_last_one_of_its_services_ended() -> None:
    """A series that stayed suspicious all along is measured from then on: the old fault is no evidence for the new."""
    run = Run()
    run.step(0, shop(0))
    for pane in range(1, 6):
        run.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=1)]}))
    pane = 6
    while "resolved" not in run.kinds():
        run.step(pane, shop(pane))
        pane += 1
    run.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=3)]}))
    assert run.events[-1].kind == "opened"
    assert run.events[-1].onset_ns == pane_start(pane - 1)
    assert run.events[-1].services[0].since_ns == pane_start(pane - 1)


def test_an_incident_without_traffic_ends_with_that_reason() -> None:
    """A recording with a hole: nothing is known, nothing is judged."""
    run = Run()
    for pane in range(3):
        run.step(pane, shop(pane, {"payments": [gap(pane, "checkout", since=0)]}, driven=True))
    for pane in range(3, 30):
        run.step(pane, shop(pane, requests=0, driven=True))
    assert run.events[-1].kind == "resolved"
    assert run.events[-1].resolve_reason is ResolveReason.NO_TRAFFIC


def stop(pane: int, since: int) -> SeriesScore:
    """Return a request rate of nothing where there were five a second."""
    return score(SeriesKind.REQUEST_RATE, pane, value=0.0, median=5.0, strength=-20.0, since=since)


def test_a_service_that_gets_no_requests_while_the_others_do_is_an_incident() -> None:
    """After as long as it takes to be sure."""
    run = Run()
    rate = {"storefront": [score(SeriesKind.REQUEST_RATE, 0, value=5.0, median=5.0, strength=0, deviating=False)]}
    for pane in range(10):
        found = [d for d in shop(pane, rate) if d.service != "cart"]
        found.append(deviations("cart", pane, [stop(pane, 0)], requests=0))
        run.step(pane, found)
    (event,) = run.opened()
    assert event.title == "cart: requests stopped (normally 5/s)"
    assert event.at_ns - event.onset_ns >= 40_000_000_000


def test_a_slow_database_is_an_incident_of_the_database() -> None:
    """It sends no telemetry of its own: its clients' latency speaks for it."""
    run = Run()
    slow = [score(SeriesKind.EDGE_LATENCY, 1, client="cart")]
    found = deviations("postgresql:shop", 1, slow, callers=["cart"], kind=NodeKind.DATABASE)
    run.step(1, [*shop(1), found])
    (event,) = run.opened()
    assert event.services[0].node_kind is NodeKind.DATABASE


def test_a_budget_that_still_burns_opens_no_new_incident_after_the_end() -> None:
    """Its windows hold the errors of the one that has just ended."""
    run = Run()
    for pane in range(5):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.ERROR_RATE, pane, since=0)]}))
    burn = {"cart": [score(SeriesKind.BURN_RATE, 5, since=0)]}
    for pane in range(5, 30):
        run.step(pane, shop(pane, burn))
    assert run.kinds().count("opened") == 1
    assert "resolved" in run.kinds()


def test_severity_is_by_the_share_of_requests_that_is_hit() -> None:
    """Half of everything is critical, one in a hundred is low."""
    assert [severity_of(share) for share in (0.01, 0.1, 0.3, 0.9)] == list(Severity)


@pytest.mark.parametrize(("burn", "expected"), [(20.0, Severity.HIGH), (2.0, Severity.MEDIUM), (0.0, Severity.LOW)])
def test_a_burning_budget_makes_an_incident_more_severe(burn: float, expected: Severity) -> None:
    """Though few requests go through the service."""
    run = Run()
    run.step(0, shop(0, requests=1_000))
    failing = [score(SeriesKind.ERROR_RATE, 1)]
    if burn:
        failing.append(score(SeriesKind.BURN_RATE, 1, value=burn))
    others = [one for one in shop(1, requests=1_000) if one.service != "cart"]
    run.step(1, [*others, deviations("cart", 1, failing, requests=10, callers=["storefront"])])
    assert [event.severity for event in run.opened()] == [expected]


def test_a_budget_that_an_earlier_incident_spent_says_nothing_about_the_next() -> None:
    """Its windows still hold those errors."""
    run = Run()
    for pane in range(5):
        run.step(pane, shop(pane, {"cart": [score(SeriesKind.ERROR_RATE, pane, since=0)]}, requests=1_000))
    for pane in range(5, 10):
        run.step(pane, shop(pane, requests=1_000))
    slow = [gap(10, "storefront", since=10), score(SeriesKind.BURN_RATE, 10, value=20.0, since=0)]
    others = [one for one in shop(10, requests=1_000) if one.service != "cart"]
    run.step(10, [*others, deviations("cart", 10, slow, requests=10, callers=["storefront"])])
    assert [event.severity for event in run.opened()][-1] is Severity.LOW


def test_a_pane_that_was_stepped_changes_nothing_when_it_comes_again() -> None:
    """A replay after a crash."""
    run = Run()
    bad = {"payments": [gap(1, "checkout")]}
    run.step(1, shop(1, bad))
    assert run.step(1, shop(1, bad)) == []
    assert run.step(0, shop(0, bad)) == []


def test_a_restart_in_the_middle_makes_the_same_events() -> None:
    """The state goes through bytes after every pane; ids are derived."""
    steady, restarted = Run(), Run()
    for pane in range(30):
        bad = {"payments": [gap(pane, "checkout", since=2)]} if 2 <= pane < 12 else {}
        steady.step(pane, shop(pane, bad))
        restarted.step(pane, shop(pane, bad))
        restarted.fold = IncidentFold.from_bytes("acme", None, restarted.fold.to_bytes())
    assert restarted.events == steady.events
    assert [event.kind for event in steady.events] == ["opened", "updated", "updated", "resolved"]


def test_the_order_of_the_services_in_a_pane_changes_nothing() -> None:
    """Records of one pane come from several partitions."""
    one, other = Run(), Run()
    bad = {"payments": [gap(1, "checkout")], "checkout": [score(SeriesKind.P95, 1)]}
    for pane in (0, 1):
        one.step(pane, shop(pane, bad if pane else {}))
        other.step(pane, list(reversed(shop(pane, bad if pane else {}))))
    assert one.events == other.events
