"""Baselines: what is called a deviation, after how many panes, and what becomes normal."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import ServiceHealth
from streams.baselines import BaselineConfig, BaselineFold
from tests.made_health import edge, health, pane_start

MAX_STATE_BYTES = 110_000


class Run:
    """A fold with the state of one service."""

    def __init__(self, config: BaselineConfig | None = None) -> None:
        self.fold = BaselineFold(config)
        self.state: bytes | None = None

    def step(self, picture: ServiceHealth) -> ServiceDeviations:
        """Step a pane that must be judged."""
        self.state, deviations = self.fold.step(self.state, picture)
        assert deviations is not None
        return deviations


def gap_from(deviations: ServiceDeviations, client: str) -> SeriesScore | None:
    """Return the gap series of one caller."""
    return next((s for s in deviations.series if s.kind is SeriesKind.GAP and s.edge_client == client), None)


def of_kind(deviations: ServiceDeviations, kind: SeriesKind) -> SeriesScore:
    """Return the service's own series of a kind."""
    return next(s for s in deviations.series if s.kind is kind and s.edge_client is None and s.operation is None)


def calm(run: Run, panes: int, requests: int = 50, seed: int = 1) -> None:
    """Let a service live through ordinary panes with some noise."""
    noise = np.random.default_rng(seed)
    for pane in range(panes):
        gap_ms = 3.0 * float(noise.lognormal(0, 0.2))
        own_ms = 5.0 * float(noise.lognormal(0, 0.2))
        run.step(health("cart", pane, requests, own_ms=own_ms, edges=[edge("shop", requests, gap_ms=gap_ms)]))


def panes_until_alarm(run: Run, first: int, picture: dict[str, float], requests: int = 50) -> int | None:
    """Return how many bad panes it takes until the gap or the own time is an alarm."""
    for count in range(1, 30):
        edges = [edge("shop", requests, gap_ms=picture.get("gap_ms", 3.0))]
        found = run.step(health("cart", first + count, requests, own_ms=picture.get("own_ms", 5.0), edges=edges))
        if any(s.deviating for s in found.series if s.kind in (SeriesKind.GAP, SeriesKind.SELF_TIME)):
            return count
    return None


def test_a_strong_deviation_is_an_alarm_after_two_panes() -> None:
    """A network delay of a quarter second on a busy service."""
    run = Run()
    calm(run, 60)
    assert panes_until_alarm(run, 60, {"gap_ms": 250.0}) == 2


def test_a_weak_deviation_needs_more_panes_than_a_strong_one() -> None:
    """Own time that is five times as long, in milliseconds."""
    run = Run()
    calm(run, 60)
    count = panes_until_alarm(run, 60, {"own_ms": 35.0})
    assert count is not None
    assert count > 2


def test_few_requests_need_more_panes_than_many() -> None:
    """One request in a pane is one opinion."""
    run = Run()
    calm(run, 60, requests=1)
    count = panes_until_alarm(run, 60, {"gap_ms": 250.0}, requests=1)
    assert count is not None
    assert 2 < count <= 6


def test_a_single_bad_pane_is_no_alarm() -> None:
    """However bad it is."""
    run = Run()
    calm(run, 60)
    first = run.step(health("cart", 61, edges=[edge("shop", 50, gap_ms=60_000.0)]))
    after = [run.step(health("cart", pane, edges=[edge("shop", 50)])) for pane in range(62, 70)]
    assert not any(s.deviating for d in [first, *after] for s in d.series)


def test_two_hours_of_noise_make_no_alarm() -> None:
    """Twenty services' worth of ordinary panes."""
    for seed in range(20):
        run = Run()
        noise = np.random.default_rng(seed)
        for pane in range(36):
            requests = int(noise.poisson(8)) + 1
            gap_ms = 3.0 * float(noise.lognormal(0, 0.5))
            own_ms = 5.0 * float(noise.lognormal(0, 0.5))
            found = run.step(
                health("cart", pane, requests, own_ms=own_ms, edges=[edge("shop", requests, gap_ms=gap_ms)])
            )
            assert not [s.kind for s in found.series if s.deviating]


def test_detection_works_a_minute_after_the_first_request() -> None:
    """With an inflated scale, so it says `learning`."""
    run = Run()
    calm(run, 6)
    found = run.step(health("cart", 6, edges=[edge("shop", 50, gap_ms=250.0)]))
    assert found.state == "learning"
    assert panes_until_alarm(run, 6, {"gap_ms": 250.0}) in (1, 2, 3)


def test_the_badge_goes_from_learning_to_reliable_to_quiet() -> None:
    """Quiet is a service that nobody called for a window."""
    run = Run()
    badges = [run.step(health("cart", pane)).state for pane in range(40)]
    quiet = run.step(health("cart", 40, 0, window_requests=0)).state
    assert (badges[0], badges[-1], quiet) == ("learning", "reliable", "quiet")


def test_a_caller_with_a_slow_connection_shows_on_its_edge_only() -> None:
    """The other caller's gap stays as it was."""
    run = Run()
    for pane in range(30):
        run.step(health("cart", pane, edges=[edge("shop", 25), edge("checkout", 25)]))
    for pane in range(30, 34):
        found = run.step(health("cart", pane, edges=[edge("shop", 25), edge("checkout", 25, gap_ms=400.0)]))
    slow, other = gap_from(found, "checkout"), gap_from(found, "shop")
    assert slow is not None
    assert other is not None
    assert (slow.deviating, other.deviating) == (True, False)


def test_thin_edges_of_one_service_add_up() -> None:
    """Ten callers with a request each, in turn, are as good as one with ten."""
    run = Run()
    callers = [f"caller-{number}" for number in range(5)]
    for pane in range(60):
        run.step(health("cart", pane, 1, edges=[edge(callers[pane % 5], 1)]))
    pooled = []
    for pane in range(60, 68):
        found = run.step(health("cart", pane, 1, edges=[edge(callers[pane % 5], 1, gap_ms=500.0)]))
        pooled.append(any(s.kind is SeriesKind.GAP and s.edge_client is None and s.deviating for s in found.series))
    assert pooled[-1]


def test_failing_requests_are_an_alarm_in_proportion_to_their_share() -> None:
    """Everything failing is seen at once, a fiftieth takes a little."""
    counts = []
    for errors in (50, 1):
        run = Run()
        for pane in range(60):
            run.step(health("cart", pane))
        bad = [run.step(health("cart", pane, errors=errors)) for pane in range(60, 75)]
        counts.append(next(i for i, d in enumerate(bad, 1) if of_kind(d, SeriesKind.ERROR_RATE).deviating))
    assert counts[0] == 2
    assert 2 < counts[1] <= 10


def test_a_service_that_always_logs_errors_is_not_an_alarm_when_it_goes_on() -> None:
    """Noise is real: every fifth request logs one."""
    run = Run()
    noise = np.random.default_rng(7)
    for pane in range(120):
        errors = int(noise.binomial(10, 0.2))
        found = run.step(health("cart", pane, 10, logs={"info": 40, "error": errors}))
        assert not any(s.deviating for s in found.series if s.kind is SeriesKind.LOG_ERRORS)


def test_missing_logs_of_a_service_that_usually_logs_prove_nothing() -> None:
    """A pane without any log is unknown, not free of errors."""
    run = Run()
    for pane in range(20):
        run.step(health("cart", pane, 10, logs={"info": 40}))
    found = run.step(health("cart", 20, 10))
    assert not [s for s in found.series if s.kind is SeriesKind.LOG_ERRORS]


def test_what_deviates_does_not_become_normal() -> None:
    """Ten minutes of delay, and the median is still what it was."""
    run = Run()
    calm(run, 60)
    for pane in range(61, 121):
        found = run.step(health("cart", pane, edges=[edge("shop", 50, gap_ms=250.0)]))
    gap = gap_from(found, "shop")
    assert gap is not None
    assert gap.median < 10
    assert gap.deviating


def test_a_lasting_step_is_accepted_after_an_hour() -> None:
    """It is the new normal then, and the episode is over."""
    run = Run(BaselineConfig(rebaseline_s=600))
    calm(run, 60)
    flags = []
    for pane in range(61, 161):
        gap = gap_from(run.step(health("cart", pane, edges=[edge("shop", 50, gap_ms=250.0)])), "shop")
        flags.append(gap is not None and gap.deviating)
    assert flags[5]
    assert not flags[-1]


def test_an_episode_ends_a_few_panes_after_the_last_bad_one() -> None:
    """And not in the first good pane: hysteresis."""
    run = Run()
    calm(run, 60)
    for pane in range(61, 73):
        run.step(health("cart", pane, edges=[edge("shop", 50, gap_ms=250.0)]))
    flags = []
    for pane in range(73, 85):
        gap = gap_from(run.step(health("cart", pane, edges=[edge("shop", 50)])), "shop")
        flags.append(gap is not None and gap.deviating)
    assert flags[0]
    assert not flags[5]


def test_an_episode_that_ended_does_not_date_the_next_one() -> None:
    """What is left of its evidence would put the beginning of a new fault into the time of the old one."""
    run = Run()
    calm(run, 60)
    for pane in range(61, 73):
        run.step(health("cart", pane, edges=[edge("shop", 50, gap_ms=250.0)]))
    pane, found = 73, gap_from(run.step(health("cart", 73, edges=[edge("shop", 50)])), "shop")
    while found is not None and found.deviating:
        pane += 1
        found = gap_from(run.step(health("cart", pane, edges=[edge("shop", 50)])), "shop")
    assert found is not None
    assert found.since_ns is None
    for again in range(pane + 1, pane + 5):
        found = gap_from(run.step(health("cart", again, edges=[edge("shop", 50, gap_ms=250.0)])), "shop")
    assert found is not None
    assert found.deviating
    assert found.since_ns == pane_start(pane + 1)


def test_a_baseline_learned_in_a_fault_is_forgotten_when_things_get_better() -> None:
    """Otherwise the next fault of the same kind would look normal."""
    run = Run()
    for pane in range(30):
        run.step(health("cart", pane, own_ms=3000.0, edges=[edge("shop", 50)]))
    for pane in range(30, 37):
        run.step(health("cart", pane, own_ms=5.0, edges=[edge("shop", 50)]))
    assert panes_until_alarm(run, 36, {"own_ms": 600.0}) in (2, 3, 4)


def test_seconds_between_two_services_are_not_normal_even_in_the_first_minute() -> None:
    """What nobody has seen before is judged by what is believed; tens of milliseconds may be normal here."""
    counts = [panes_until_alarm(Run(), 0, {"gap_ms": gap_ms}) for gap_ms in (2500.0, 40.0)]
    assert counts == [4, None]


def test_a_service_that_fails_from_its_first_request_is_an_alarm() -> None:
    """There is no past to compare with, and none is needed."""
    run = Run()
    found = [run.step(health("cart", pane, errors=30)) for pane in range(4)]
    assert of_kind(found[-1], SeriesKind.ERROR_RATE).deviating


@pytest.mark.parametrize("seed", range(3))
def test_a_service_that_logs_an_error_every_other_request_is_calm_though_it_has_few(seed: int) -> None:
    """A request a pane: its first errors are no news before there are enough requests to know better."""
    run, noise = Run(), np.random.default_rng(seed)
    for pane in range(250):
        requests = int(noise.poisson(1))
        errors = int(noise.binomial(requests, 0.5))
        logs = {"info": requests, "error": errors} if requests else {}
        found = run.step(health("mail", pane, requests, logs=logs))
        assert not [s for s in found.series if s.kind is SeriesKind.LOG_ERRORS and s.deviating], pane


def test_a_stop_of_traffic_deviates_and_a_quiet_night_does_not() -> None:
    """Requests that come in every pane and then do not; and requests that seldom came."""
    busy, rare = Run(), Run()
    for pane in range(60):
        busy.step(health("cart", pane, 50))
        rare.step(health("cart", pane, 1 if pane % 5 == 0 else 0, window_requests=1))
    for pane in range(60, 66):
        stopped = of_kind(busy.step(health("cart", pane, 0)), SeriesKind.REQUEST_RATE)
        silent = of_kind(rare.step(health("cart", pane, 0, window_requests=0)), SeriesKind.REQUEST_RATE)
    assert stopped.deviating
    assert not silent.deviating


def test_stepping_a_pane_again_gives_the_same_answer() -> None:
    """A replay after a crash tells the same deviations, from the state as it is then."""
    run = Run()
    calm(run, 40)
    bad = [health("cart", pane, edges=[edge("shop", 50, gap_ms=250.0)]) for pane in range(40, 46)]
    first = [run.step(picture) for picture in bad]
    state = run.state
    again = [run.step(picture) for picture in bad]
    assert again == first
    assert run.state == state


def test_a_revision_replaces_its_pane() -> None:
    """The state is what it would have been had the revision come first."""
    one, other = Run(), Run()
    calm(one, 30)
    calm(other, 30)
    one.step(health("cart", 30, edges=[edge("shop", 50, gap_ms=2.0)]))
    one.step(health("cart", 30, edges=[edge("shop", 50, gap_ms=4.0)], revision=1))
    other.step(health("cart", 30, edges=[edge("shop", 50, gap_ms=4.0)], revision=1))
    assert one.state == other.state


def test_a_revision_that_says_nothing_new_is_not_told_again() -> None:
    """The final revision usually is the first one once more."""
    run = Run()
    calm(run, 10)
    run.step(health("cart", 10))
    state, told = run.fold.step(run.state, health("cart", 10, revision=1))
    assert told is None
    assert state == run.state


def test_a_pane_older_than_the_memory_is_not_judged() -> None:
    """And changes nothing."""
    run = Run()
    calm(run, 40)
    state, told = run.fold.step(run.state, health("cart", 5, edges=[edge("shop", 50, gap_ms=9.0)], revision=3))
    assert told is None
    assert state == run.state


def test_the_state_stays_small_whatever_calls_the_service() -> None:
    """Hundreds of callers and operations, six hours."""
    run = Run()
    noise = np.random.default_rng(3)
    for pane in range(0, 400, 2):
        callers = [edge(f"caller-{int(n)}", 5) for n in noise.choice(300, 40, replace=False)]
        run.step(health("cart", pane, 50, edges=callers))
    assert run.state is not None
    assert len(run.state) < MAX_STATE_BYTES


def test_a_state_of_another_version_is_a_fresh_start() -> None:
    """An upgrade learns again rather than fails."""
    fold = BaselineFold()
    _, told = fold.step(b"\x81\xa1v\x63", health("cart", 0))
    assert told is not None
    assert told.state == "learning"


@pytest.mark.parametrize("silence_panes", [5, 20])
def test_evidence_from_before_a_long_hole_is_void(silence_panes: int) -> None:
    """One bad pane before it and one after it are not two in a row."""
    run = Run()
    calm(run, 60)
    bad = {"gap_ms": 250.0}
    run.step(health("cart", 61, edges=[edge("shop", 50, gap_ms=bad["gap_ms"])]))
    found = run.step(health("cart", 61 + silence_panes, edges=[edge("shop", 50, gap_ms=bad["gap_ms"])]))
    gap = gap_from(found, "shop")
    assert gap is not None
    assert gap.deviating == (silence_panes == 5)
