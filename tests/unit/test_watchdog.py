"""The watchdog ends a worker that is of no use, and no other."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest
from faust.types import TP

from topologies.app import StreamApp
from topologies.watchdog import NO_COMMIT_S, NO_MOVE_S, NOT_READY_S, Watchdog

TRACES = TP("otel.traces", 0)


@dataclass
class World:
    """Time, and one partition that is always behind."""

    now_s: float = 1000.0
    position: int = 0
    assigned: list[TP] = field(default_factory=lambda: [TRACES])
    to_recover: int | None = None

    def app(self) -> SimpleNamespace:
        """Return as much of a worker's app as the watchdog looks at."""
        floors = SimpleNamespace(
            reads=lambda topic: topic == TRACES.topic,
            position=lambda _: self.position,
            floor=lambda _: self.position,
            partitions=lambda: [TRACES],
        )
        return SimpleNamespace(
            floors=floors,
            commit_health=SimpleNamespace(last_commit_s=self.now_s),
            crashed=False,
            rebalancing=False,
            changes_to_recover=lambda: self.to_recover,
            assigned=lambda: self.assigned,
            recovered=lambda: bool(self.assigned),
            generation=lambda: 1,
            lag=lambda _: 7,
            committed=lambda _: 0,
        )

    def watch(self, watchdog: Watchdog, seconds: float, *, records_flow: bool, recovers: bool = False) -> str:
        """Look once a second; return the first complaint, or nothing."""
        for _ in range(int(seconds)):
            self.now_s += 1
            self.position += records_flow
            self.to_recover = self.to_recover and self.to_recover - recovers
            if complaint := watchdog.look():
                return complaint
        return ""


@pytest.fixture
def world() -> World:
    """Give a world at rest."""
    return World()


@pytest.fixture
def watchdog(world: World) -> Watchdog:
    """Give the watchdog of its app."""
    return Watchdog(cast(StreamApp, world.app()), lambda: world.now_s)


def test_a_worker_whose_records_flow_and_whose_commits_do_not_is_ended(watchdog: Watchdog, world: World) -> None:
    """Faust may stop committing for good without an error."""
    assert not world.watch(watchdog, NO_COMMIT_S - 5, records_flow=True)
    assert "no commit" in world.watch(watchdog, 10, records_flow=True)


def test_time_in_which_the_process_stood_still_is_held_against_nobody(watchdog: Watchdog, world: World) -> None:
    """After SIGSTOP and SIGCONT, or a suspended machine, a worker has its whole patience to commit again."""
    assert not world.watch(watchdog, 5, records_flow=True)
    world.now_s += 10 * NO_MOVE_S
    assert not world.watch(watchdog, NO_COMMIT_S - 5, records_flow=True)
    assert "no commit" in world.watch(watchdog, 10, records_flow=True)


def test_a_partition_that_has_records_and_does_not_move_ends_its_worker(watchdog: Watchdog, world: World) -> None:
    """Faust may stop fetching one partition without an error."""
    assert not world.watch(watchdog, NO_MOVE_S - 5, records_flow=False)
    assert "does not move" in world.watch(watchdog, 10, records_flow=False)


def test_a_worker_that_never_gets_ready_is_ended(watchdog: Watchdog, world: World) -> None:
    """A group that never settles leaves a worker without partitions."""
    world.assigned = []
    assert not world.watch(watchdog, NOT_READY_S - 5, records_flow=False)
    assert "no partitions" in world.watch(watchdog, 10, records_flow=False)


@pytest.mark.parametrize("recovers", [True, False])
def test_a_rebalance_that_stands_still_ends_its_worker(watchdog: Watchdog, world: World, recovers: bool) -> None:
    """Faust may wait for ever for changes of tables that it threw away, or not at all; a long recovery is none such."""
    assert not world.watch(watchdog, 1, records_flow=False)
    watchdog.app.rebalancing, world.to_recover = True, 10 * round(NOT_READY_S) if recovers else None
    if recovers:
        assert not world.watch(watchdog, 2 * NOT_READY_S, records_flow=False, recovers=True)
    assert not world.watch(watchdog, NOT_READY_S - 5, records_flow=False)
    assert "rebalance" in world.watch(watchdog, 10, records_flow=False)
