"""What a pane adds to the impact of an incident, and how severe that makes it."""

from __future__ import annotations

import msgpack
import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import Passage
from schemas.incidents import Impact, IncidentEvent, NotifyReason, Severity
from streams.alerting import AlertConfig, needs_notifying
from streams.incidents import IncidentFold
from streams.incidents.habits import Habits, Usual
from streams.incidents.hits import Hits, Tally
from streams.incidents.impact import slowed
from tests.incident_runs import Run, gap
from tests.made_health import SECOND_NS, deviations, pane_start, score

FAST, SLOW = {300: 95, 303: 5}, {310: 100}
"""Root durations of a hundred traces, by half doubling."""


def seen(one: ServiceDeviations, *passages: Passage) -> ServiceDeviations:
    """Add what traces tell to a service's pane."""
    return one.model_copy(update={"passages": list(passages)})


def web(pane: int, errors: int = 0, failing: int = 0, durations: dict[int, int] = FAST) -> ServiceDeviations:
    """Return the door: a hundred requests."""
    door = deviations("web", pane, requests=100, errors=errors, entry=True)
    return seen(door, Passage(entry="web", traces=100, failing=failing, durations=durations))


def stopped(pane: int, per_s: float) -> SeriesScore:
    """Return a rate that has been zero since the second pane."""
    return no_rate(pane, per_s, since=2)


def no_rate(pane: int, per_s: float, since: int) -> SeriesScore:
    """Return a rate of nothing."""
    return score(SeriesKind.REQUEST_RATE, pane, value=0, median=per_s, strength=-9, since=since)


def last(run: Run, service: str) -> IncidentEvent:
    """Return the last event of the incident that begins at a service."""
    return [event for event in run.events if event.title.startswith(service)][-1]


def test_a_total_stop_at_the_door_is_critical_and_told() -> None:
    """Nobody came, everybody is hit; an operator who wants no less than medium is told."""
    run = Run()
    for pane in range(44):
        rate = [no_rate(pane, 50.0, since=26)] if pane >= 26 else []
        run.step(pane, [deviations("web", pane, rate, entry=True, requests=0 if rate else 500)])
    event = run.events[-1]
    assert (event.impact.requests, event.impact.share, event.severity) == (0, 1.0, Severity.CRITICAL)
    assert event.impact.missing_requests % 500 == 0
    config = AlertConfig(min_severity=Severity.MEDIUM)
    assert needs_notifying(None, event, None, event.at_ns + 60 * SECOND_NS, config) is NotifyReason.FIRST


def test_a_service_that_gets_no_requests_any_more_hits_those_that_used_to_reach_it() -> None:
    """A fifth of the requests did, four calls each."""
    run = Run()
    for pane in range(30):
        gone = pane >= 20
        works = score(SeriesKind.REQUEST_RATE, pane, value=10, median=10, strength=0, deviating=False)
        rate = [stopped(pane, 8.0).model_copy(update={"since_ns": pane_start(20)})] if gone else []
        pay = deviations("pay", pane, rate, requests=0 if gone else 80, callers=["web"])
        others = [web(pane).model_copy(update={"series": [works]}), deviations("cart", pane, [works], callers=["web"])]
        run.step(pane, [*others, pay if gone else seen(pay, Passage(entry="web", traces=20, durations=FAST))])
    impact = last(run, "pay").impact
    assert impact.share == 0.2
    assert impact.missing_requests == 0, "they came, and did not get there"


def test_without_traces_no_more_requests_are_hit_than_came_in_where_it_is_reached_from() -> None:
    """Cart has a thousand calls; it is reached from one of two doors."""
    run = Run()
    for pane in range(6):
        cart = deviations("cart", pane, [gap(pane, "web", since=0)], requests=1_000, callers=["web"])
        doors = [
            deviations(name, pane, requests=50, errors=20 * (name == "admin"), entry=True) for name in ("web", "admin")
        ]
        run.step(pane, [*doors, cart])
    impact = run.events[-1].impact
    assert (impact.share, impact.failed_requests) == (0.5, 0)


def test_without_traces_a_door_that_fails_as_often_as_its_baseline_knows_has_no_failures() -> None:
    """Half of its requests fail; three in ten always did."""
    run = Run()
    for pane in range(6):
        rate = score(SeriesKind.ERROR_RATE, pane, value=0.5, median=0.3, deviating=False)
        door = deviations("web", pane, [rate], requests=100, errors=50, entry=True)
        cart = deviations("cart", pane, [gap(pane, "web", since=0)], requests=10, callers=["web"])
        run.step(pane, [door, cart])
    impact = run.events[-1].impact
    assert impact.failed_requests == 0.2 * impact.requests


def test_work_of_its_own_that_is_hardly_hit_is_low() -> None:
    """One of forty jobs fails; no user waits."""
    run = Run()
    for pane in range(6):
        failing = [
            score(SeriesKind.ERROR_RATE, pane, value=0.025, median=0.0, since=0).model_copy(update={"unit": "ratio"})
        ]
        job = seen(
            deviations("job", pane, failing, requests=40, errors=1),
            Passage(entry="job", traces=40, failing=1, origins=1, durations=FAST),
        )
        run.step(pane, [web(pane), job])
    assert (run.events[-1].severity, run.events[-1].impact.work_share) == (Severity.LOW, 0.025)


def test_work_is_no_measure_where_entry_requests_reach_a_cause() -> None:
    """The jobs that fail beside them are of the same incident; users are what counts."""
    work = {"job": Tally(through=10.0, surely=9.0)}
    assert Hits(100.0, work=work).work_share == 0.9
    assert Hits(100.0, users={"cart": Tally(through=50.0)}, work=work).work_share == 0.0


def test_where_clients_send_telemetry_requests_come_in_where_traces_begin() -> None:
    """A browser has spans; the one request at stock whose first spans were lost makes stock no door."""
    run = Run()
    for pane in range(20):
        slow = [gap(pane, "stock", since=12)] if pane >= 12 else []
        of_all = SLOW if slow else FAST
        browser = seen(deviations("browser", pane, requests=0), Passage(entry="browser", traces=100, durations=of_all))
        stock = seen(
            deviations("stock", pane, requests=1, entry=True, callers=["browser"]),
            Passage(entry="browser", traces=100, durations=of_all),
            Passage(entry="stock", traces=1, durations={300: 1}),
        )  # fmt: skip
        base = seen(
            deviations("base", pane, slow, requests=100, callers=["stock"]),
            Passage(entry="browser", traces=100, durations=of_all),
        )
        run.step(pane, [browser, stock, base])
    event = last(run, "base")
    assert (event.impact.slow_requests, event.severity) == (
        event.impact.requests - event.impact.requests // 101,
        Severity.CRITICAL,
    )


def test_failures_on_the_way_to_a_service_are_its_callers() -> None:
    """Traces that fail before they are there do not pass through it; others of the caller fail elsewhere."""
    run = Run()
    for pane in range(20):
        bad = pane >= 12
        fails = score(SeriesKind.EDGE_ERROR_RATE, pane, value=0.3, median=0.0, client="web", since=12)
        cart = deviations("cart", pane, [fails] if bad else [], requests=70 if bad else 100, callers=["web"])
        door = web(pane, errors=50 * bad, failing=50 * bad)
        if bad:
            door = seen(door, door.passages[0].model_copy(update={"origins": 30}))
        run.step(pane, [door, seen(cart, Passage(entry="web", traces=70 if bad else 100, durations=FAST))])
    assert last(run, "cart").impact.share == 0.3


def impact_of(of_cart: SeriesKind, *, failing: int, errors: int, durations: dict[int, int] = FAST) -> Impact:
    """Return the impact of an incident of cart: what its traces do, and how many requests fail at the door.

    Another door, that does not reach it, fails from the same pane on.
    """
    run = Run()
    for pane in range(30):
        bad = pane >= 12
        told = score(
            of_cart, pane, value=0.5, median=0.0, client="web" if of_cart is SeriesKind.GAP else None, since=12
        )
        cart = deviations("cart", pane, [told.model_copy(update={"unit": "ratio"})] if bad else [], callers=["web"])
        traces = Passage(entry="web", traces=100, failing=failing * bad, durations=durations if bad else FAST)
        other = Passage(entry="admin", traces=100, failing=30 * bad, durations=FAST)
        admin = seen(deviations("admin", pane, requests=100, errors=30 * bad, entry=True), other)
        budgets = [
            score(SeriesKind.BURN_RATE, pane, value=0.1, strength=0, deviating=False, client=f"{n}") for n in range(3)
        ]
        run.step(
            pane, [web(pane, errors * bad, failing * bad), admin, seen(cart, traces), deviations("cart", pane, budgets)]
        )
    return last(run, "cart").impact


def test_a_failure_that_its_caller_makes_good_hits_a_request_that_does_not_fail() -> None:
    """The door answers all of them. The failures of the other door are no matter of this incident."""
    impact = impact_of(SeriesKind.ERROR_RATE, failing=20, errors=0)
    assert (impact.failed_requests, impact.share) == (0, 0.1)


def test_failures_that_pass_a_slow_cause_are_another_ones() -> None:
    """Nothing is said of failures at it."""
    impact = impact_of(SeriesKind.GAP, failing=20, errors=20, durations=SLOW)
    assert (impact.failed_requests, impact.share) == (0, 0.5)


def test_slowness_that_passes_a_failing_cause_is_another_ones() -> None:
    """Nothing is said of slowness at it."""
    impact = impact_of(SeriesKind.ERROR_RATE, failing=20, errors=20, durations=SLOW)
    assert (impact.slow_requests, impact.failed_requests) == (0, impact.requests // 10)


def test_error_lines_count_only_where_no_span_tells_of_failures() -> None:
    """One failure writes many lines. Services without span status have nothing but lines."""

    def share(failing: int) -> float:
        run = Run()
        for pane in range(30):
            bad = pane >= 12
            lines = score(SeriesKind.LOG_ERRORS, pane, value=0.5, median=0.0, since=12).model_copy(
                update={"unit": "ratio"}
            )
            cart = deviations("cart", pane, [lines] if bad else [], requests=100, callers=["web"])
            failed = failing * bad
            run.step(
                pane,
                [
                    web(pane, failing=failed),
                    seen(cart, Passage(entry="web", traces=100, failing=failed, durations=FAST)),
                ],
            )
        return last(run, "cart").impact.share

    assert (share(10), share(0)) == (0.1, 0.5)


def test_what_times_out_is_hit_once() -> None:
    """It is slow, and it fails."""
    assert Tally(through=100, failing=30, longer=40).hit == 40


def test_a_few_more_than_usual_may_be_chance() -> None:
    """Two standard deviations are not enough, more are."""
    assert Tally(through=100, latest=3.9, latest_scatter=4.0).slow == 0
    assert Tally(through=100, latest=4.1, latest_scatter=4.0).slow == 4.1


@pytest.mark.parametrize(("quantile", "least", "most"), [(0.5, 0.28, 0.32), (0.95, 0.28, 0.32)])
def test_slowed_traces_are_those_that_would_have_been_fast(quantile: float, least: float, most: float) -> None:
    """Three of ten become slow, whatever they would have been."""
    usual = Usual(100_000, durations={300: 60_000, 301: 35_000, 302: 5_000})
    now = Passage(entry="web", traces=1_000, durations={300: 420, 301: 245, 302: 35, 310: 300})
    assert least < slowed(usual, now, quantile)[0] / 1_000 < most


def test_the_minutes_in_which_an_incident_began_are_taken_back() -> None:
    """They are no habit; older ones stay."""
    habits = Habits()
    for pane in range(18):
        habits.see(pane_start(pane), [web(pane, durations=SLOW if pane >= 12 else FAST)])
    habits.take_back(pane_start(13))
    known = habits.of("web", "web")
    assert known is not None
    assert (known.traces, set(known.durations)) == (1_200, set(FAST))


def test_what_requests_do_during_an_incident_is_not_usual() -> None:
    """Twenty minutes of slowness at cart; nothing of it is learned."""
    run = Run()
    for pane in range(140):
        slow = [gap(pane, "web", since=12)] if pane >= 12 else []
        cart = deviations("cart", pane, slow, requests=100, callers=["web"])
        run.step(pane, [web(pane), seen(cart, Passage(entry="web", traces=100, durations=SLOW if slow else FAST))])
    known = run.fold.habits.of("cart", "web")
    assert known is not None
    assert set(known.durations) == set(FAST)
    assert last(run, "cart").impact.share == 1.0


def test_habits_are_bounded_and_fade() -> None:
    """Many pairs of nodes: the busiest stay; old counts are halved."""
    habits = Habits()
    for pane in range(0, 120, 6):
        pairs = [Passage(entry=f"e{n}", traces=n + 1, durations={300: n + 1}) for n in range(600)]
        habits.see(pane_start(pane), [seen(deviations("cart", pane), *pairs)])
    assert len(habits.past) == 500
    assert max(one.traces for one in habits.past.values()) <= 4_600
    assert Habits.unpacked(msgpack.unpackb(msgpack.packb(habits.packed()), strict_map_key=False)) == habits


def test_a_state_from_before_traces_were_counted_is_read_on() -> None:
    """Four numbers: requests, failed, through a cause, calm panes."""
    run = Run()
    for pane in range(3):
        cart = deviations("cart", pane, [gap(pane, "web", since=0)], requests=100, callers=["web"])
        run.step(pane, [deviations("web", pane, requests=100, entry=True), cart])
    body = msgpack.unpackb(run.fold.to_bytes(), strict_map_key=False)
    del body["habits"]
    [incident] = body["open"]
    for name in ("hits", "calm", "lately", "grade"):
        del incident[name]
    incident |= {"counts": [300, 30, 120, 1], "recent": [[100, 10, 40]] * 3}
    [read] = IncidentFold.from_bytes("acme", None, msgpack.packb(body)).open
    assert (read.calm_panes, read.share) == (1, 0.4)
    assert (read.hits.requests, read.hits.failed_requests, read.hits.slow_requests) == (300, 30, 90)
    assert Hits.unpacked(msgpack.unpackb(msgpack.packb(read.hits.packed()))) == read.hits


def test_traces_are_kept_where_budgets_are_told_of_the_same_service() -> None:
    """In a record of their own, which has more series and no traces; nobody calls the service."""
    run = Run()
    for pane in range(20):
        slow = [score(SeriesKind.SELF_TIME, pane, since=12)] if pane >= 12 else []
        jobs = Passage(entry="job", traces=100, durations=SLOW if slow else FAST)
        budgets = [score(SeriesKind.BURN_RATE, pane, value=0.1, deviating=False, client=f"{n}") for n in range(3)]
        job = seen(deviations("job", pane, slow, requests=100), jobs)
        run.step(pane, [web(pane), job, deviations("job", pane, budgets, requests=100)])
    known = run.fold.habits.of("job", "job")
    assert known is not None
    assert known.traces == 1_200
