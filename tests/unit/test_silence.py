"""Nothing is heard of anybody: a stop of all traffic, a hole in what was recorded, or traffic that comes and goes."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind, SeriesScore
from schemas.incidents import ResolveReason
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.incidents import IncidentFold
from streams.incidents.silence import HABIT_NS, LEAST_SERVICES, SETTLED_NS, Silence
from streams.points.courses import Point, SeriesName
from tests.incident_runs import SHOP, Run, shop
from tests.made_health import PANE_NS, deviations, pane_start, score

SETTLED = SETTLED_NS // PANE_NS
HABIT = HABIT_NS // PANE_NS
CPU_PANES = 3
"""Metrics come every half minute."""


def rate(pane: int, since: int, median: float = 5.0) -> SeriesScore:
    """Return a request rate of nothing where there were some requests a second."""
    return score(SeriesKind.REQUEST_RATE, pane, value=0.0, median=median, strength=-20.0, since=since)


def go_on(run: Run, panes: range, driven: bool = False) -> None:
    """Let all work."""
    for pane in panes:
        run.step(pane, shop(pane, driven=driven))


def fall_silent(run: Run, panes: range, driven: bool = False) -> None:
    """Let nothing be heard of anybody."""
    for pane in panes:
        bad = {name: [rate(pane, panes.start)] for name in SHOP}
        run.step(pane, shop(pane, bad, requests=0, driven=driven))


def tell_cpu(run: Run, panes: range, use: dict[str, float], late_panes: int = 0, metric: str = "container.cpu") -> None:
    """Tell of how much CPU services use, as counters of seconds that go on from where they were."""
    for service, share in use.items():
        series = SeriesName(service, f"{service}-1", metric, "s", True, ())
        before = [p.value for c in run.fold.silence.courses.of(service, 2**62) for p in c.points]
        value = max(before, default=0.0)
        for pane in panes[::CPU_PANES]:
            point = Point(pane_start(pane), value, pane_start(pane + late_panes))
            run.fold.silence.see_points([(series, point)])
            value += share * CPU_PANES * 10


BUSY = dict.fromkeys(SHOP, 0.4)


def recorded(use: dict[str, float], late_panes: int = 0, metric: str = "container.cpu") -> Run:
    """Return what comes of a silence in a recording in which services use so much CPU, and 0.4 before."""
    run = Run()
    tell_cpu(run, range(SETTLED), BUSY, metric=metric)
    go_on(run, range(SETTLED), driven=True)
    tell_cpu(run, range(SETTLED, SETTLED + 21), use, late_panes, metric)
    fall_silent(run, range(SETTLED, SETTLED + 12), driven=True)
    return run


def test_silence_of_everything_is_an_incident_of_the_door_when_it_is_live() -> None:
    """With metrics or without."""
    run = Run()
    go_on(run, range(SETTLED))
    fall_silent(run, range(SETTLED, SETTLED + 12))
    (event,) = run.opened()
    assert [one.service for one in event.services] == ["storefront"]
    assert event.at_ns - event.onset_ns == 40_000_000_000


def test_silence_is_a_hole_in_a_recording_that_says_nothing_of_cpu() -> None:
    """Minutes are missing of all services at once."""
    assert not recorded({}).opened()


def test_silence_is_a_hole_in_a_recording_while_the_services_work_on() -> None:
    """They use as much CPU as before."""
    assert not recorded(BUSY).opened()


def test_silence_is_a_stop_in_a_recording_while_the_services_rest() -> None:
    """Who gets no requests uses little CPU; it is seen when the first readings are there that lie in the silence."""
    run = recorded(dict.fromkeys(SHOP, 0.1))
    (event,) = run.opened()
    assert [one.service for one in event.services] == ["storefront"]
    assert event.onset_ns == pane_start(SETTLED)
    assert event.at_ns <= pane_start(SETTLED) + 60_000_000_000


@pytest.mark.parametrize(("resting", "stops"), [(2, 0), (3, 1)])
def test_most_services_have_to_rest(resting: int, stops: int) -> None:
    """One or two may happen to do little, or end a fault."""
    use = {name: 0.1 if place < resting else 0.4 for place, name in enumerate(SHOP)}
    assert len(recorded(use).opened()) == stops


def test_of_too_few_services_nothing_is_known() -> None:
    """Chance may let two of two rest."""
    few = dict.fromkeys(list(SHOP)[: LEAST_SERVICES - 1], 0.1)
    assert not recorded(few).opened()


def test_what_had_not_arrived_tells_nothing_yet() -> None:
    """However late a ranking or a replay looks, the pane is decided by what had come."""
    assert not recorded(dict.fromkeys(SHOP, 0.1), late_panes=60).opened()


def test_only_cpu_tells_of_work() -> None:
    """Of other metrics nobody knows what they do at rest."""
    assert not recorded(dict.fromkeys(SHOP, 0.1), metric="container.memory").opened()


def told_by(name: str, is_counter: bool, values: list[float]) -> Silence:
    """Return a silence since the tenth of these half minutes, in which three services tell of their CPU."""
    silence = Silence(since_ns=pane_start(26))
    for service in ("a", "b", "c"):
        series = SeriesName(service, "1", name, "", is_counter, ())
        for place, value in enumerate(values):
            silence.see_points([(series, Point(pane_start(3 * place), value, pane_start(3 * place)))])
    return silence


def test_a_gauge_tells_as_well_as_a_counter() -> None:
    """Agents report utilisation."""
    assert told_by("process.cpu.utilization", False, [0.5] * 10 + [0.1] * 2).rests(pane_start(60))
    assert not told_by("process.cpu.utilization", False, [0.5] * 12).rests(pane_start(60))


def test_a_counter_that_begins_anew_is_no_rest() -> None:
    """Processes are started again."""
    counted = [9.0 * place for place in range(10)]
    assert not told_by("process.cpu.time", True, [*counted, 0.0, 9.0]).rests(pane_start(60))
    assert told_by("process.cpu.time", True, [*counted, 81.5, 82.0]).rests(pane_start(60))


def test_an_incident_of_a_stop_ends_when_the_traffic_is_back() -> None:
    """Recovered, like any other."""
    run = recorded(dict.fromkeys(SHOP, 0.1))
    go_on(run, range(SETTLED + 12, SETTLED + 20), driven=True)
    assert run.events[-1].resolve_reason is ResolveReason.RECOVERED


def test_an_incident_of_a_stop_that_stays_ends_for_want_of_traffic() -> None:
    """An hour after the last request no pane is told of any more."""
    run = Run()
    go_on(run, range(SETTLED))
    fall_silent(run, range(SETTLED, SETTLED + 360))
    assert [event.kind for event in run.events if event.kind in ("opened", "resolved")] == ["opened"]
    for pane in range(SETTLED + 360, SETTLED + 380):
        run.step(pane, [])
    assert run.events[-1].resolve_reason is ResolveReason.NO_TRAFFIC


def test_traffic_of_a_minute_or_two_is_not_missed() -> None:
    """Somebody tried something."""
    run = Run()
    go_on(run, range(SETTLED - 1))
    fall_silent(run, range(SETTLED - 1, SETTLED + 20))
    assert not run.opened()


@pytest.mark.parametrize(("busy", "stops"), [(SETTLED + 30, 0), (SETTLED + 60, 1)])
def test_traffic_that_comes_and_goes_is_missed_once_it_was_there_for_longer_than_not(busy: int, stops: int) -> None:
    """A test of the load ends after nobody came for longer than it took."""
    run = Run()
    go_on(run, range(2))
    idle = SETTLED + 50
    fall_silent(run, range(2, 2 + idle))
    assert not run.opened()
    run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    go_on(run, range(2 + idle, 2 + idle + busy))
    fall_silent(run, range(2 + idle + busy, 2 + idle + busy + 12))
    assert len(run.opened()) == stops


def test_a_shop_that_was_closed_all_night_is_missed_after_twenty_minutes() -> None:
    """It need not be open for as long as it was closed."""
    silence = Silence()
    silence.step(pane_start(0), {"web": deviations("web", 0)}, 0)
    for pane in range(1, 4 * HABIT):
        silence.step(pane_start(pane), {"web": deviations("web", pane, requests=0)}, 0)
    for pane in range(4 * HABIT, 5 * HABIT):
        silence.step(pane_start(pane), {"web": deviations("web", pane)}, 0)
    silence.step(pane_start(5 * HABIT), {"web": deviations("web", 5 * HABIT, requests=0)}, 0)
    assert silence.is_stop


def usual_share(pane: int, share: float) -> SeriesScore:
    """Return a request rate that is a share of five a second."""
    return score(SeriesKind.REQUEST_RATE, pane, value=5.0 * share, median=5.0, strength=0.0, deviating=False)


@pytest.mark.parametrize(("fall_panes", "stops"), [(30, 1), (80, 0)])
def test_traffic_that_ended_slowly_has_not_stopped(fall_panes: int, stops: int) -> None:
    """A queue of users that is let go in five minutes is missed, one that gets shorter for a quarter of an hour is not.

    Ten minutes count, and they are kept over a restart.
    """
    run, end = Run(), SETTLED + fall_panes
    for pane in range(end):
        share = usual_share(pane, 1.0 if pane < SETTLED else 0.05)
        run.step(pane, shop(pane, {name: [share] for name in SHOP}))
    run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    fall_silent(run, range(end, end + 6))
    run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    fall_silent(run, range(end + 6, end + 100))
    assert len(run.opened()) == stops


def test_a_moment_of_silence_does_not_begin_the_traffic_anew() -> None:
    """Who has a request now and then has panes without."""
    silence = Silence()
    for pane in range(SETTLED + 1):
        silent = pane in (5, 6, 7, SETTLED)
        silence.step(pane_start(pane), {"web": deviations("web", pane, requests=0 if silent else 9)}, 0)
    assert silence.is_stop


def test_a_hole_in_a_recording_is_no_part_of_a_stop_that_follows_it() -> None:
    """A service without requests in the first pane after the hole was silent for ten seconds so far."""
    run = Run()
    rates = {name: [score(SeriesKind.REQUEST_RATE, 0, value=5.0, median=5.0, deviating=False)] for name in SHOP}
    fall_silent(run, range(5, 20), driven=True)
    run.fold = IncidentFold.from_bytes("acme", None, run.fold.to_bytes())
    for pane in range(20, 25):
        found = [one for one in shop(pane, rates, driven=True) if one.service != "cart"]
        run.step(pane, [*found, deviations("cart", pane, [rate(pane, 5)], requests=0, driven=True)])
    (event,) = run.opened()
    assert event.at_ns == pane_start(24)


def test_the_service_that_misses_most_names_the_incident() -> None:
    """Some are called from outside now and then."""
    run = Run()
    for pane in range(SETTLED + 12):
        bad = [rate(pane, SETTLED)] if pane >= SETTLED else []
        little = [one.model_copy(update={"score": -6.0, "median": 2.0}) for one in bad]
        requests = 0 if bad else 50
        doors = [deviations(name, pane, found, entry=True, requests=requests) for name, found in
                 (("admin", little), ("web", bad))]  # fmt: skip
        run.step(pane, doors)
    (event,) = run.opened()
    assert event.title.startswith("web: requests stopped")


@pytest.mark.parametrize(("stopped", "named"), [(True, ["stopped"]), (False, [])])
def test_a_ranking_counts_silence_in_a_recording_where_the_incident_says_that_it_is_a_stop(
    stopped: bool, named: list[str]
) -> None:
    """It has not heard the metrics in the order in which they came."""
    run, picture = recorded(dict.fromkeys(SHOP, 0.1)), TenantPicture("acme")
    (event,) = run.opened()
    if not stopped:
        other = [one.model_copy(update={"peak": score(SeriesKind.GAP, SETTLED)}) for one in event.services]
        event = event.model_copy(update={"services": other})
    for pane in range(SETTLED + 12):
        bad = {name: [rate(pane, SETTLED)] for name in SHOP} if pane >= SETTLED else {}
        for one in shop(pane, bad, requests=0 if bad else 50, driven=True):
            picture.step(one)
    ranking = rank(snapshot_of(picture, event, [], pane_start(SETTLED + 12), 1))
    parts = [part.name for one in ranking.hypotheses for part in one.parts if part.name == "stopped"]
    assert parts == named
