"""Failed requests of instances against their siblings': who fails beyond all habit is told, no outage is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import InstanceHealth
from streams.siblings import SiblingMemory
from streams.siblings.state import ROW
from tests.made_fleet import Instance
from tests.made_health import health, pane_start
from tests.watched_fleet import CALM, Seen, fleet_of, names

OLD_ROW = np.dtype(
    "<u4, <u4, <f4, <f4, <f4, <f4, <f4, <f4, (2,)<f4, (2,)<u4, ?, ?",
)
OLD_NAMES = (
    "first", "heard", "requests", "slow", "doubtful", "doubtful_slow", "rate", "missed", "sums", "starts", "active",
    "accepted",
)  # fmt: skip


def kinds(alarms: list[SeriesScore]) -> set[SeriesKind]:
    """Return which kinds the alarms are of."""
    return {one.kind for one in alarms}


def test_one_failing_instance_of_fifty_is_told_with_its_siblings_share() -> None:
    """It fails two in a hundred of all requests; dated to the pane it began in."""
    fleet, seen = fleet_of(50), Seen()
    assert not seen.run(fleet, CALM, rate=50.0)
    fleet.instances[7].fails = 1.0
    first = seen.run(fleet, 4, rate=50.0)[0]
    assert (first.kind, first.instance, first.value) == (SeriesKind.INSTANCE_ERRORS, "cart-7", 1.0)
    assert (first.median, first.limit_ms, first.unit) == (0.0, None, "ratio")
    assert first.since_ns == pane_start(CALM)


def test_an_instance_that_fails_three_in_twenty_requests_is_told_where_the_others_fail_none() -> None:
    """A third of a percent of the requests of the service fail: far too few for its ratio."""
    fleet, seen = fleet_of(50), Seen()
    seen.run(fleet, CALM, rate=50.0)
    fleet.instances[7].fails = 0.15
    assert names(seen.run(fleet, 30, rate=50.0)) == {"cart-7"}


def test_an_instance_with_few_requests_that_fails_half_of_them_is_told_within_seven_minutes() -> None:
    """It has one in two panes; its siblings have twenty in a pane, of which none fails, and more need not be seen."""
    seen = Seen()
    for pane in range(CALM + 42):
        fails = int(pane >= CALM and pane % 4 == 0)
        few = [InstanceHealth(instance="few", requests=1, errors=fails, durations={4806: 1})]
        others = [InstanceHealth(instance=name, requests=10, errors=0, durations={4806: 10}) for name in "ab"]
        each = others if pane % 2 else others + few
        if seen.take([health("cart", pane).model_copy(update={"instances": each})]):
            return
    pytest.fail("not told")


def test_an_instance_that_fails_half_of_its_requests_is_told_without_a_break() -> None:
    """However they fall: a run of good ones is not the end of it."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM, rate=5.0)
    fleet.instances[3].fails = 0.5
    seen.run(fleet, 40, rate=5.0)
    assert len(seen.run(fleet, CALM, rate=5.0)) == CALM


@pytest.mark.parametrize("share", [0.05, 0.2, 0.6, 1.0])
def test_a_service_that_fails_as_a_whole_has_no_failing_instance(share: float) -> None:
    """From one pane to the next, whatever the share."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.fails = share
    assert not seen.run(fleet, 2 * CALM)


def test_an_outage_of_the_service_is_nobodys_habit() -> None:
    """Half of all requests failed for twenty minutes: an instance that fails half of its own afterwards is told."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.fails = 0.5
    assert not seen.run(fleet, 2 * CALM)
    fleet.fails = 0.0
    assert not seen.run(fleet, 6)
    fleet.instances[7].fails = 0.5
    assert names(seen.run(fleet, 10)) == {"cart-7"}


def test_the_failures_that_one_has_by_habit_are_not_told_nor_those_of_who_replaces_it() -> None:
    """It was there from the beginning; a deploy brings another one that does the same."""
    fleet, seen = fleet_of(20), Seen()
    fleet.instances[3].fails = 0.15
    assert not seen.run(fleet, 4 * CALM)
    for place, old in enumerate(list(fleet.instances)):
        fleet.instances[place] = replace(old, name=f"new-{place}")
        assert not seen.run(fleet, 1)
    assert not seen.run(fleet, CALM)


def test_an_instance_that_fails_from_its_first_request_on_is_told_after_a_minute_and_a_half() -> None:
    """And one that fails while it starts is not."""
    for panes, is_told in ((6, False), (60, True)):
        fleet, seen = fleet_of(10), Seen()
        seen.run(fleet, CALM)
        fleet.instances.append(Instance("new", fails=1.0))
        early = seen.run(fleet, min(panes, 8))
        fleet.instances[-1].fails = 1.0 if is_told else 0.0
        assert (early, names(seen.run(fleet, 6))) == ([], {"new"} if is_told else set())


def test_a_burst_of_retries_at_one_instance_is_no_alarm() -> None:
    """All of its requests fail for twenty seconds, under any load."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM, rate=100.0)
    fleet.instances[2].fails = 1.0
    assert not seen.run(fleet, 2, rate=100.0)
    fleet.instances[2].fails = 0.0
    assert not seen.run(fleet, 10, rate=100.0)


def test_an_instance_that_is_slow_and_fails_is_told_once_for_each() -> None:
    """Each with its own numbers; only the slow ones have a limit."""
    fleet, seen = fleet_of(40), Seen()
    seen.run(fleet, CALM)
    fleet.instances[7].fails, fleet.instances[7].more_ms = 1.0, 300.0
    seen.run(fleet, 10)
    assert [(one.kind, one.instance, one.limit_ms is None) for one in seen.told] == [
        (SeriesKind.INSTANCE_SLOW, "cart-7", False),
        (SeriesKind.INSTANCE_ERRORS, "cart-7", True),
    ]


def test_failures_are_compared_where_nothing_is_known_of_latencies() -> None:
    """There is no usual percentile yet, so nobody is slow."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, 12, usual_ms=None)
    fleet.instances[7].fails, fleet.instances[7].more_ms = 1.0, 300.0
    assert kinds(seen.run(fleet, 6, usual_ms=None)) == {SeriesKind.INSTANCE_ERRORS}


def test_what_failed_for_an_hour_is_a_new_habit_and_no_excuse_for_others() -> None:
    """The alarm ends; another one that fails as much is told."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.instances[7].fails = 1.0
    assert seen.run(fleet, 350)
    seen.run(fleet, 20)
    assert not seen.run(fleet, 20)
    fleet.instances[8].fails = 1.0
    assert names(seen.run(fleet, 10)) == {"cart-8"}


def test_an_instance_cannot_fail_more_requests_than_it_had() -> None:
    """Whatever a picture says."""
    seen = Seen()
    for pane in range(CALM):
        errors = 9 if pane > 40 else 0
        each = [
            InstanceHealth(instance=name, requests=5, errors=errors if name == "c" else 0, durations={4806: 5})
            for name in "abcd"
        ]
        seen.take([health("cart", pane).model_copy(update={"instances": each})])
    [told] = seen.told
    assert (told.instance, told.value) == ("c", 1.0)


def as_of_before(state: bytes) -> bytes:
    """Return a state as it was written before failures were compared."""
    _, pane_s, who, snapshots = msgpack.unpackb(state)
    return bytes(msgpack.packb([1, pane_s, who, [_slow_alone(one) for one in snapshots]]))


def _slow_alone(snapshot: list[Any]) -> list[Any]:
    pane_ns, raw, worst, began, line_ms = snapshot
    new = np.frombuffer(raw, ROW)
    old = np.zeros(len(new), OLD_ROW)
    renamed = {"slow": "hits", "doubtful_slow": "doubtful_hits"}
    for place, name in zip(OLD_ROW.names or (), OLD_NAMES, strict=True):
        values = new[renamed.get(name, name)]
        old[place] = values if name in ("first", "heard", "rate", "missed") else values[:, 0]
    return [pane_ns, old.tobytes(), worst[0], began[0], line_ms]


def test_a_state_of_before_failures_were_compared_is_read_on() -> None:
    """The alarm of a slow one goes on from its beginning, in the next pane."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.instances[7].more_ms = 300.0
    assert names(seen.run(fleet, 10)) == {"cart-7"}
    seen.state = as_of_before(seen.state)
    [told] = seen.run(fleet, 1)
    assert (told.kind, told.instance, told.deviating) == (SeriesKind.INSTANCE_SLOW, "cart-7", True)
    assert told.since_ns is not None
    assert told.since_ns <= pane_start(CALM + 2)


def test_with_a_state_of_before_habits_of_failing_are_learned_before_they_are_judged() -> None:
    """One that came late has failed half of its requests all along, and another begins to, long after."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.instances.append(Instance("late"))
    seen.run(fleet, CALM)
    seen.state = as_of_before(seen.state)
    fleet.instances[-1].fails = 0.5
    assert not seen.run(fleet, 2 * CALM)
    fleet.instances[3].fails = 1.0
    assert names(seen.run(fleet, 20)) == {"cart-3"}


def test_a_state_of_another_version_is_a_fresh_start() -> None:
    """It was written by a later release."""
    assert SiblingMemory.decode(msgpack.packb([3, 10, [], []])).snapshots == []
