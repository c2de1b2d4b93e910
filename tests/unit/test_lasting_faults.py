"""Faults that last for an hour and more: what they are judged by, when they are normal, and how that is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import ServiceHealth
from schemas.incidents import IncidentEvent, ResolveReason
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.baselines.normals import Normals
from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from streams.siblings.usual import usual_tail_ms
from tests.made_health import PANE_NS, edge, health, pane_start, red

CALM = 130
MINUTE = 6
HOUR = 60 * MINUTE
MAX_STATE_BYTES = 220_000
Picture = Callable[[int, bool, float], ServiceHealth]


def slow(pane: int, bad: bool, noise: float) -> ServiceHealth:
    """Own time of 5 ms, or 300."""
    return health("cart", pane, own_ms=(300 if bad else 5) * noise, edges=[edge("client", 50, kind="client")])


def delayed(pane: int, bad: bool, noise: float) -> ServiceHealth:
    """A gap of 3 ms, or 400."""
    return health("cart", pane, edges=[edge("web", 50, gap_ms=(400 if bad else 3) * noise)])


def failing(pane: int, bad: bool, noise: float) -> ServiceHealth:
    """No request fails, or every other."""
    errors = round(25 * noise) if bad else 0
    return health("cart", pane, errors=errors, edges=[edge("client", 50, kind="client")])


def seldom_delayed(pane: int, bad: bool, noise: float) -> ServiceHealth:
    """The gap, of one request a minute."""
    requests = int(pane % MINUTE == 0)
    edges = [edge("web", 1, gap_ms=(400 if bad else 3) * noise)] if requests else []
    return health("cart", pane, requests, edges=edges, window_requests=1)


def seldom_failing(pane: int, bad: bool, noise: float) -> ServiceHealth:
    """No request of one a minute fails, or all."""
    requests = int(pane % MINUTE == 0)
    return health("cart", pane, requests, errors=requests * bad, window_requests=1)


class Watch:
    """One service, judged by the default configuration; instants are minutes since the calm hour ended."""

    def __init__(self) -> None:
        self.fold, self.memory, self.incidents = JudgeFold(), JudgeMemory(), IncidentFold("acme")
        self.noise = np.random.default_rng(5)
        self.events: list[IncidentEvent] = []
        self.pane = -CALM

    def live(self, panes: int, picture: Picture, *, bad: bool = False) -> ServiceDeviations:
        """Let panes pass; return the last one."""
        for _ in range(panes):
            found = self.see(picture(self.pane + CALM, bad, float(self.noise.uniform(0.9, 1.1))))
        return found

    def see(self, picture: ServiceHealth) -> ServiceDeviations:
        """Judge a pane."""
        found = self.fold.advance(self.memory, picture)
        assert found is not None
        self.events += self.incidents.step_pane(picture.pane_start_ns, [found], picture.pane_start_ns + 2 * PANE_NS)
        if self.pane % 2 == 0:
            self.incidents = IncidentFold.from_bytes("acme", None, self.incidents.to_bytes())
        if self.pane % HOUR == 0:
            self.memory = JudgeMemory.decode(self.memory.encode())
        self.pane += 1
        return found

    def told(self) -> list[tuple[str, float, ResolveReason | None]]:
        """Return what opened and what ended, with the minute."""
        bounds = [one for one in self.events if one.kind in ("opened", "resolved")]
        return [(one.kind, (one.at_ns - pane_start(CALM)) / 60e9, one.resolve_reason) for one in bounds]


def of_kind(found: ServiceDeviations, kind: SeriesKind) -> SeriesScore | None:
    """Return the service's own series of a kind."""
    return next((s for s in found.series if s.kind is kind and s.edge_client is None and s.operation is None), None)


@pytest.mark.parametrize("picture", [slow, delayed, failing, seldom_delayed, seldom_failing])
def test_what_lasts_is_one_incident_for_an_hour_then_normal_and_never_told_as_recovered(picture: Picture) -> None:
    """A level, a gap and a ratio, for an hour and a half; nothing is told after the first."""
    watch = Watch()
    watch.live(CALM, picture)
    watch.live(HOUR + HOUR // 2, picture, bad=True)
    (opened, began, _), (ended, over, reason) = watch.told()
    assert (opened, ended, reason) == ("opened", "resolved", ResolveReason.NEW_NORMAL)
    assert began < 13
    assert 60 < over < 60 + began + 5


@pytest.mark.parametrize("picture", [slow, delayed, failing])
def test_what_is_worse_than_a_new_normal_is_an_incident_again(picture: Picture) -> None:
    """Five times what became normal an hour ago, or everything failing."""

    def worse(pane: int, bad: bool, noise: float) -> ServiceHealth:
        return picture(pane, bad, 5 * noise if picture is not failing else 2.0)

    watch = Watch()
    watch.live(CALM, picture)
    watch.live(HOUR + 6 * MINUTE, picture, bad=True)
    watch.live(MINUTE, worse, bad=True)
    assert [kind for kind, _, _ in watch.told()] == ["opened", "resolved", "opened"]


def test_a_ratio_that_became_normal_is_believed_to_be_none_once_nothing_fails() -> None:
    """Half of the requests failed for good; they were mended, and fail again the next day."""
    watch = Watch()
    watch.live(CALM, failing)
    watch.live(HOUR + HOUR // 2, failing, bad=True)
    watch.live(HOUR, failing)
    watch.live(3, failing, bad=True)
    assert [kind for kind, _, _ in watch.told()] == ["opened", "resolved", "opened"]
    assert watch.memory.baselines.snapshots[-1].refuted == set()


@pytest.mark.parametrize("picture", [slow, delayed, failing])
def test_a_fault_of_fifty_minutes_is_told_as_recovered_when_it_is(picture: Picture) -> None:
    """And at once."""
    watch = Watch()
    watch.live(CALM, picture)
    watch.live(50 * MINUTE, picture, bad=True)
    watch.live(3 * MINUTE, picture)
    _, (_, over, reason) = watch.told()
    assert 50 < over < 53
    assert reason is ResolveReason.RECOVERED


@pytest.mark.parametrize("picture", [slow, delayed])
def test_a_long_fault_that_pauses_for_a_minute_does_not_become_normal(picture: Picture) -> None:
    """Its clean panes left the history long ago, and a minute of new ones says little."""
    watch = Watch()
    watch.live(CALM, picture)
    watch.live(30 * MINUTE, picture, bad=True)
    watch.live(MINUTE, picture)
    watch.live(30 * MINUTE, picture, bad=True)
    told = watch.told()
    assert [kind for kind, _, _ in told] == ["opened", "resolved", "opened"]
    assert told[2][1] < 32


def test_a_normal_that_was_kept_is_given_up_once_as_much_is_known_again() -> None:
    """Ten minutes after the fault."""
    watch = Watch()
    watch.live(CALM, slow)
    watch.live(30 * MINUTE, slow, bad=True)
    assert watch.memory.baselines.normals.packed()
    watch.live(15 * MINUTE, slow)
    assert not watch.memory.baselines.normals.packed()


def test_thin_edges_that_only_together_are_an_alarm_keep_their_normal() -> None:
    """Five callers with a request each, in turn: none is heard within the time for which evidence stands."""

    def in_turn(pane: int, bad: bool, noise: float) -> ServiceHealth:
        turn, rest = divmod(pane, 4)
        edges = [edge(f"caller-{turn % 5}", 1, gap_ms=(60 if bad else 3) * noise)] if rest == 0 else []
        return health("cart", pane, len(edges), edges=edges, window_requests=1)

    watch = Watch()
    watch.live(2 * CALM, in_turn)
    watch.live(40 * MINUTE, in_turn, bad=True)
    assert [kind for kind, _, _ in watch.told()] == ["opened"]


def test_traffic_that_fell_is_held_against_what_it_was() -> None:
    """A fifth of the requests for half an hour."""

    def fallen(pane: int, bad: bool, noise: float) -> ServiceHealth:
        return health("cart", pane, round((10 if bad else 50) * noise))

    watch = Watch()
    watch.live(CALM, fallen)
    rate = of_kind(watch.live(30 * MINUTE, fallen, bad=True), SeriesKind.REQUEST_RATE)
    assert rate is not None
    assert rate.deviating
    assert rate.median == pytest.approx(5, rel=0.1)


def test_a_kept_normal_remembers_how_many_requests_it_rests_on() -> None:
    """The slowest of many requests is slower than the slowest of one, in a fault as ever."""
    watch = Watch()
    watch.live(CALM, lambda pane, _, noise: health("cart", pane, 1, own_ms=5 * noise))
    watch.live(30 * MINUTE, lambda pane, _, noise: health("cart", pane, 20, own_ms=300 * noise))
    memory, pane_ns = watch.memory.baselines, pane_start(watch.pane + CALM)
    names = [name for name in memory.history.levels.rows if name.startswith(SeriesKind.SELF_TIME.value)]
    past = memory.history.past(memory.history.levels, names, pane_ns, 120)
    requests = memory.normals.fill(past, memory.history.traffic_before(pane_ns, 120), names, pane_ns, np.nan)
    known = requests[0][~np.isnan(requests[0])]
    assert known.tolist() == [1.0] * len(known)
    assert len(known) == 60


def test_a_state_of_before_is_read_on_in_a_fault() -> None:
    """It knows nothing that was kept; what is normal is taken from the panes it still has."""
    watch = Watch()
    watch.live(CALM, slow)
    watch.live(5 * MINUTE, slow, bad=True)
    watch.memory.baselines = BaselineState.decode(of_before(watch.memory.baselines))
    watch.live(40 * MINUTE, slow, bad=True)
    assert [kind for kind, _, _ in watch.told()] == ["opened"]


def of_before(state: BaselineState) -> bytes:
    """Return a state as it was kept before normals were."""
    body: dict[str, Any] = msgpack.unpackb(state.encode(), strict_map_key=False)
    del body["k"]
    body["s"] = [snapshot[:11] for snapshot in body["s"]]
    return bytes(msgpack.packb(body))


def test_the_state_stays_small_when_all_that_calls_the_service_is_slow() -> None:
    """Sixteen callers, each with all it may have."""

    def crowded(pane: int, bad: bool, noise: float) -> ServiceHealth:
        many = [edge(f"caller-{n}", 5, gap_ms=(400 if bad else 3) * noise, errors=3 * bad) for n in range(16)]
        return health("cart", pane, 80, errors=48 * bad, own_ms=(300 if bad else 5) * noise, edges=many)

    watch = Watch()
    watch.live(CALM, crowded)
    watch.live(5 * MINUTE, crowded, bad=True)
    assert len(watch.memory.baselines.encode()) < MAX_STATE_BYTES


def test_what_was_kept_of_a_caller_that_is_long_gone_says_nothing_of_one_of_its_name() -> None:
    """Two hours after it left in the middle of a fault."""

    def by_caller(pane: int, bad: bool, noise: float) -> ServiceHealth:
        edges = [edge("web", 25, gap_ms=3 * noise)]
        return health("cart", pane, edges=[*edges, edge("shop", 25, gap_ms=(60 if bad else 3) * noise)])

    def without(pane: int, _: bool, noise: float) -> ServiceHealth:
        return health("cart", pane, edges=[edge("web", 50, gap_ms=3 * noise)])

    watch = Watch()
    watch.live(CALM, by_caller)
    watch.live(20 * MINUTE, by_caller, bad=True)
    watch.pane += 2 * HOUR
    watch.live(22 * MINUTE, without)
    watch.live(2 * MINUTE, by_caller, bad=True)
    assert [kind for kind, _, _ in watch.told()] == ["opened", "resolved"]


def test_an_alarm_that_took_longer_than_what_makes_a_normal_is_told_before_it_is_one() -> None:
    """Every other request of one a pane fails, which takes two minutes to be an alarm; a minute makes a normal."""
    fold, memory = BaselineFold(BaselineConfig(rebaseline_s=60)), BaselineState()
    flags = []
    for pane in range(CALM + 40):
        found, _ = fold.advance(memory, health("cart", pane, 1, errors=int(pane >= CALM and pane % 2)))
        rate = of_kind(found, SeriesKind.ERROR_RATE) if found else None
        flags.append(rate is not None and rate.deviating)
    assert sum(flags) >= 2
    assert not flags[-1]
    assert rate is not None
    assert rate.median > 0.3


def test_a_tail_that_is_slow_for_long_is_what_instances_are_not_held_against() -> None:
    """What is usual is what was before."""
    watch = Watch()
    watch.live(CALM, with_tail)
    watch.live(30 * MINUTE, with_tail, bad=True)
    usual_ms = usual_tail_ms(watch.memory.baselines, pane_start(watch.pane + CALM), BaselineConfig())
    assert usual_ms == pytest.approx(50, rel=0.1)


def with_tail(pane: int, bad: bool, noise: float) -> ServiceHealth:
    """A p95 of 50 ms, or a second."""
    pane_stats = red(50, p95_ms=(1000 if bad else 50) * noise)
    return health("cart", pane).model_copy(update={"pane": pane_stats})


def test_of_too_many_normals_those_kept_longest_ago_are_given_up() -> None:
    """And what counts for no pane that can come any more."""
    normals = Normals()
    for number in range(5):
        normals.keep(number, f"series-{number}", np.ones((3, 10), np.float32), 4)
    normals.release(5, "series-4")
    normals.settle(4, most=4)
    assert normals.names(5) == ["series-2", "series-3", "series-4"]
    normals.settle(5, most=4)
    assert normals.names(6) == ["series-2", "series-3"]
    assert Normals.unpacked(normals.packed()).packed() == normals.packed()


@pytest.mark.parametrize("picture", [slow, failing])
def test_panes_of_a_long_fault_that_are_judged_again_say_the_same(picture: Picture) -> None:
    """Long after the clean panes have left, and around the pane in which it becomes normal."""
    fold, memory, noise = BaselineFold(), BaselineState(), np.random.default_rng(2)
    pictures = [picture(pane, pane >= CALM, float(noise.uniform(0.9, 1.1))) for pane in range(CALM + HOUR + 2 * MINUTE)]
    told: list[ServiceDeviations | None] = [fold.advance(memory, one)[0] for one in pictures[: CALM + HOUR - MINUTE]]
    state = memory.encode()
    for number, one in enumerate(pictures[len(told) :], len(told) + 1):
        state, found = fold.step(state, one)
        told.append(found)
        if number % 4 == 0:
            last, again = state, []
            for before in pictures[number - 4 : number]:
                state, found = fold.step(state, before)
                again.append(found)
            assert again == told[-4:]
            assert state == last


def test_a_ratio_without_a_place_in_the_history_is_believed_again() -> None:
    """Its caller is gone."""
    watch = Watch()
    watch.live(MINUTE, failing)
    watch.memory.baselines.snapshots[-1].refuted |= {"edge_error_rate", "error_rate"}
    watch.live(1, failing, bad=True)
    assert watch.memory.baselines.snapshots[-1].refuted == set()


def test_a_revision_that_ends_an_alarm_takes_back_what_was_kept_for_it() -> None:
    """The state is what it would have been had the revision come first."""
    fold, state = BaselineFold(), b""
    for pane in range(CALM + 1):
        state, _ = fold.step(state, slow(pane, pane == CALM, 1.0))
    after, found = fold.step(state, slow(CALM + 1, True, 1.0))
    assert found is not None
    assert any(one.deviating for one in found.series)
    good = slow(CALM + 1, False, 1.0).model_copy(update={"revision": 1})
    assert fold.step(after, good)[0] == fold.step(state, good)[0]
