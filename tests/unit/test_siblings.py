"""Instances against their siblings: who is slower than all habit is told, and nobody for anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import InstanceHealth, ServiceHealth
from streams.contents import OVERFLOW_INSTANCE
from streams.latency import bin_of
from streams.siblings import SiblingConfig, SiblingMemory
from streams.siblings.state import ROW
from tests.made_fleet import Fleet, Instance
from tests.made_health import health, pane_start
from tests.watched_fleet import CALM, RATE, USUAL_MS, Seen, fleet_of, names

FAST, SLOW = (int(bin_of(np.array([ms * 1_000_000]))[0]) for ms in (10, 1000))


def test_one_slow_instance_of_forty_is_told_with_its_siblings_share() -> None:
    """Within ten panes, and dated to the pane it began in; all its requests are slow, hardly any of the others'."""
    fleet, seen = fleet_of(40), Seen()
    assert not seen.run(fleet, CALM)
    fleet.instances[7].more_ms = 300.0
    first = seen.run(fleet, 10)[0]
    assert (first.kind, first.instance, first.value) == (SeriesKind.INSTANCE_SLOW, "cart-7", 1.0)
    assert first.median < 0.1
    assert first.limit_ms == pytest.approx(1.25 * USUAL_MS)
    assert first.since_ns is not None
    assert pane_start(CALM) <= first.since_ns <= pane_start(CALM + 2)


def test_a_service_that_is_slow_as_a_whole_has_no_slow_instance() -> None:
    """Everybody takes ten times as long, from one pane to the next."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.times = 10.0
    assert not seen.run(fleet, 30)


def test_the_habit_of_one_that_was_there_from_the_beginning_is_not_told() -> None:
    """An instance in a zone farther away: all of its requests take longer than those of the others."""
    fleet, seen = fleet_of(20), Seen()
    fleet.instances[3].more_ms = 150.0
    assert not seen.run(fleet, 4 * CALM, rate=8.0)


def test_what_one_instance_does_by_habit_is_not_told_of_those_that_a_deploy_brings() -> None:
    """All are replaced, one a pane; the new one in the far zone is as slow as the old one was."""
    fleet, seen = fleet_of(20), Seen()
    fleet.instances[3].more_ms = 75.0
    seen.run(fleet, 3 * CALM)
    for place, old in enumerate(list(fleet.instances)):
        fleet.instances[place] = replace(old, name=f"new-{place}")
        assert not seen.run(fleet, 1)
    assert not seen.run(fleet, CALM)


def test_an_instance_that_warms_up_for_a_minute_is_not_told_and_one_that_stays_slow_is() -> None:
    """A newcomer is judged three minutes after its first request, by its siblings."""
    for minutes, is_told in ((1, False), (10, True)):
        fleet, seen = fleet_of(10), Seen()
        seen.run(fleet, CALM)
        fleet.instances.append(Instance("new", more_ms=300.0))
        early = seen.run(fleet, 6 * min(minutes, 3) - 1)
        fleet.instances[-1].more_ms = 0.0 if minutes == 1 else 300.0
        late = seen.run(fleet, 18)
        assert (early, names(late)) == ([], {"new"} if is_told else set())


def test_an_instance_that_is_started_again_under_its_name_warms_up_anew() -> None:
    """Half a minute without the requests it should have had, then a slow minute."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    old = fleet.instances.pop(4)
    seen.run(fleet, 3)
    fleet.instances.append(replace(old, more_ms=300.0))
    assert not seen.run(fleet, 6)
    fleet.instances[-1].more_ms = 0.0
    assert not seen.run(fleet, CALM)


def test_when_the_others_get_faster_the_rest_is_not_slow() -> None:
    """A release makes nine of ten three times as fast; the last one is as it was."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    for one in fleet.instances[1:]:
        one.times = 1 / 3
    alarms = [seen.run(fleet, 1, usual_ms=max(30.0, USUAL_MS - pane)) for pane in range(2 * CALM)]
    assert not any(alarms)


def test_a_pause_of_a_pane_or_two_is_no_alarm() -> None:
    """One instance stops the world for twenty seconds, under any load."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM, rate=100.0)
    fleet.instances[2].more_ms = 2000.0
    assert not seen.run(fleet, 2, rate=100.0)
    fleet.instances[2].more_ms = 0.0
    assert not seen.run(fleet, 10, rate=100.0)


def counted(pane: int, counts: dict[str, tuple[int, int]]) -> ServiceHealth:
    """Return a pane of instances with so many slow and so many fast requests."""
    instances = [
        InstanceHealth(instance=name, requests=slow + fast, errors=0, durations={SLOW: slow, FAST: fast})
        for name, (slow, fast) in counts.items()
    ]
    return health("cart", pane).model_copy(update={"instances": instances})


def test_a_suspicion_that_grows_for_ten_minutes_without_an_alarm_is_learned() -> None:
    """An instance drifts from one slow request in eight to five, one request every half minute."""
    seen = Seen()
    for pane in range(1000):
        slow = int(pane // 3 * 5 % 8 < (1 if pane < 400 else 5))
        odd = {} if pane % 3 else {"odd": (slow, 1 - slow)}
        assert not seen.take([counted(pane, {"a": (0, 10), "b": (0, 10)} | odd)])


def test_requests_of_instances_beyond_the_cap_are_no_instance() -> None:
    """What they have together is slow, and nobody's."""
    seen = Seen()
    for pane in range(CALM):
        slow = 10 if pane > 40 else 0
        assert not seen.take([counted(pane, {"a": (0, 10), "b": (0, 10), OVERFLOW_INSTANCE: (slow, 10 - slow)})])


def test_an_instance_that_is_not_counted_in_every_pane_was_not_started_again() -> None:
    """There are more than a pane counts, so each is seen in every third; the slow one is told all the same."""
    seen = Seen()
    for pane in range(3 * CALM):
        slow = 10 if pane > 2 * CALM else 0
        here = {f"{pane % 3}-{number}": (slow if number == 0 and not pane % 3 else 0, 10) for number in range(5)}
        if seen.take([counted(pane, here | {OVERFLOW_INSTANCE: (0, 50)})]):
            return
    pytest.fail("not told")


def test_of_many_slow_instances_the_clearest_few_are_told() -> None:
    """A zone with ten of forty instances is slow: a deviation names five."""
    fleet, seen = fleet_of(40), Seen()
    seen.run(fleet, CALM)
    for one in fleet.instances[:10]:
        one.more_ms = 300.0
    assert seen.run(fleet, 20)
    assert len(seen.told) == 5


def test_panes_may_come_in_any_order_from_the_beginning() -> None:
    """The first pane that is heard of need not be the first there was."""
    fleet, seen = fleet_of(5), Seen()
    seen.take([fleet.pane(number, RATE) for number in (5, 2, 0, 7, 1)])
    memory = SiblingMemory.decode(seen.state)
    assert [one.pane_ns for one in memory.snapshots] == [pane_start(number) for number in (0, 1, 2, 5, 7)]
    assert memory.before(pane_start(2)) is memory.snapshots[1]


def test_after_a_long_silence_who_comes_was_there_from_the_beginning() -> None:
    """The service was off for two days; its habits are learned before anybody is judged."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    seen.panes += 2 * 8640
    fleet = Fleet([Instance(f"new-{number}") for number in range(10)], np.random.default_rng(3))
    fleet.instances[3].more_ms = 300.0
    assert not seen.run(fleet, CALM)


def test_with_panes_of_another_length_instances_are_learned_anew() -> None:
    """An operator has changed the setting."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.instances[3].more_ms = 300.0
    shorter = [fleet.pane(CALM + number, RATE).model_copy(update={"pane_s": 5}) for number in range(8)]
    assert not seen.take(shorter)


def test_a_pane_that_is_too_old_changes_nothing() -> None:
    """There is no snapshot from before it."""
    fleet, seen = fleet_of(5), Seen()
    seen.run(fleet, 20)
    state = seen.state
    fleet.instances.append(Instance("late"))
    assert not seen.take([fleet.pane(5, RATE)])
    assert seen.state == state


def test_nobody_is_slower_than_siblings_without_requests() -> None:
    """The second instance only stands by."""
    fleet, seen = fleet_of(2), Seen()
    fleet.instances[1].share = 0.002
    seen.run(fleet, 2 * CALM)
    fleet.instances[0].more_ms = 300.0
    assert not seen.run(fleet, 20)


def test_an_alarm_ends_within_a_few_panes_of_good_requests() -> None:
    """And what was learned is as before: the next time it is told as soon."""
    fleet, seen = fleet_of(40), Seen()
    seen.run(fleet, CALM)
    for _ in range(2):
        fleet.instances[7].more_ms = 300.0
        assert names(seen.run(fleet, 10)) == {"cart-7"}
        assert names(seen.run(fleet, 50)) == {"cart-7"}
        fleet.instances[7].more_ms = 0.0
        seen.run(fleet, 4)
        assert not seen.run(fleet, 10)


def test_what_goes_on_for_more_than_an_hour_is_a_new_habit_and_no_excuse_for_others() -> None:
    """The alarm ends; another one that becomes as slow is told."""
    fleet, seen = fleet_of(10), Seen()
    seen.run(fleet, CALM)
    fleet.instances[7].more_ms = 300.0
    assert not any(one.accepted for one in seen.run(fleet, 350))
    assert [one.accepted for one in seen.run(fleet, 20)][-2:] == [False, True]
    assert not seen.run(fleet, 20)
    fleet.instances[8].more_ms = 300.0
    assert names(seen.run(fleet, 10)) == {"cart-8"}


def test_the_evidence_of_an_instance_that_fell_silent_is_void() -> None:
    """It was about to be told, then it was gone for three minutes of nobody's fault."""
    fleet, seen = fleet_of(40), Seen()
    seen.run(fleet, CALM)
    fleet.instances[7].more_ms = 300.0
    assert seen.run(fleet, 12)
    fleet.instances.pop(7)
    seen.run(fleet, 16)
    assert seen.told == []


def test_instances_that_are_gone_are_forgotten_and_there_are_never_too_many() -> None:
    """A deploy every ten minutes for a day keeps no more than those of the last hour."""
    config, seen = SiblingConfig(forget_s=600.0), Seen(SiblingConfig(forget_s=600.0))
    for release in range(6):
        fleet = Fleet([Instance(f"r{release}-{n}") for n in range(50)], np.random.default_rng(release))
        seen.run(fleet, 40)
        memory = SiblingMemory.decode(seen.state)
        assert len(memory.names) <= config.max_instances
        assert all(len(one.rows) <= len(memory.names) for one in memory.snapshots)
    seen.run(fleet, 70)
    assert sorted(SiblingMemory.decode(seen.state).names) == sorted(one.name for one in fleet.instances)
    assert len(seen.state) < 50 * (ROW.itemsize + 20) * 9


def test_more_instances_than_are_kept_drop_those_heard_longest_ago() -> None:
    """Whatever names come: memory is bounded."""
    seen = Seen(SiblingConfig(max_instances=60))
    for pane in range(20):
        instances = [InstanceHealth(instance=f"p{pane}-{n}", requests=1, errors=0) for n in range(50)]
        seen.take([health("cart", pane).model_copy(update={"instances": instances})])
        memory = SiblingMemory.decode(seen.state)
        assert len(memory.names) <= 60
        assert {f"p{pane}-{n}" for n in range(50)} <= set(memory.names)


def test_a_service_with_one_instance_keeps_nothing() -> None:
    """Most services cost nothing."""
    seen = Seen()
    seen.run(fleet_of(1), 5)
    assert seen.state == b""


def test_a_pane_that_comes_again_is_told_again_and_learned_once() -> None:
    """After a crash the last panes come again, and revisions do: what follows is the same."""
    fleet = fleet_of(20)
    panes = [fleet.pane(number, RATE) for number in range(CALM)]
    fleet.instances[7].more_ms = 300.0
    panes += [fleet.pane(number, RATE) for number in range(CALM, CALM + 12)]
    plain, torn = Seen(), Seen()
    expected = [told for each in panes for told in _told(plain, each)]
    found = [told for each in panes[:66] for told in _told(torn, each)]
    again = [told for each in panes[60:66] for told in _told(torn, each)]
    assert found[-len(again) :] == again
    found += [told for each in panes[66:] for told in _told(torn, each)]
    assert found == expected
    assert torn.state == plain.state


def _told(seen: Seen, each: ServiceHealth) -> Iterator[SeriesScore]:
    seen.take([each])
    yield from seen.told
