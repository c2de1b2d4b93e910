"""Watches a worker from inside: sets the gauges, and names what makes it useless so that it can end.

Faust is known to stall without an error: commits that stop for good, partitions that are not fetched any more.
A supervisor can only restart a process that ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from topologies import metrics
from topologies.app import StreamApp
from topologies.patience import waiting_for_stores

NO_COMMIT_S = 60.0
NO_MOVE_S = 300.0
NOT_READY_S = 180.0
STOOD_STILL_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """How the worker is, for readiness and for people."""

    ready: bool
    generation: int
    partitions: dict[str, int]
    """Assigned partitions by topic."""
    lag_records: int
    """Records that not every stage has handled yet, over all partitions whose end is known."""
    seconds_since_commit: float


@dataclass(slots=True)
class _Movement:
    position: Any
    since_s: float


@dataclass(slots=True)
class Watchdog:
    """Looks at the app once in a while. Ask `look` every second or so; it returns why to end, or None.

    Time in which the process itself stood still (SIGSTOP, a suspended machine) is held against nobody: a look that
    comes more than `STOOD_STILL_S` after the one before starts every patience again.
    """

    app: StreamApp
    elapsed_s: Callable[[], float] = time.monotonic
    _awake_since_s: float = field(default=0.0, init=False)
    _looked_s: float = field(default=0.0, init=False)
    _movements: dict[TP, _Movement] = field(default_factory=dict, init=False)
    _moved_s: float = field(default=0.0, init=False)
    _was_ready: bool = field(default=False, init=False)
    _rebalance: _Movement | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._awake_since_s = self._looked_s = self.elapsed_s()

    def facts(self) -> WorkerFacts:
        """Return how the worker is now."""
        app = self.app
        assigned = self._assigned()
        topics = [tp.topic for tp in assigned]
        return WorkerFacts(
            ready=bool(assigned) and not app.rebalancing and app.recovered(),
            generation=app.generation(),
            partitions={topic: topics.count(topic) for topic in sorted(set(topics))},
            lag_records=sum(app.lag(tp) or 0 for tp in assigned if app.floors.reads(tp.topic)),
            seconds_since_commit=self.elapsed_s() - app.commit_health.last_commit_s,
        )

    def look(self) -> str | None:
        """Update the gauges; return what is wrong beyond hope, in words, or None."""
        self._notice_standing_still()
        facts = self.facts()
        self._was_ready = self._was_ready or facts.ready
        metrics.READY.set(facts.ready)
        metrics.LAST_COMMIT.set(time.time() - facts.seconds_since_commit)
        for partition in self._assigned():
            lag = self.app.lag(partition)
            if lag is not None and self.app.floors.reads(partition.topic):
                metrics.LAG_RECORDS.labels(partition.topic, str(partition.partition)).set(lag)
        return (
            self._crash()
            or self._never_ready()
            or self._stuck_rebalance()
            or self._stuck_partition()
            or self._no_commit(facts)
        )

    def _notice_standing_still(self) -> None:
        elapsed_s = self.elapsed_s()
        if elapsed_s - self._looked_s > STOOD_STILL_S:
            self._awake_since_s = elapsed_s
            self._movements.clear()
            self._rebalance = None
        self._looked_s = elapsed_s

    def _assigned(self) -> list[TP]:
        return self.app.assigned()

    def _crash(self) -> str | None:
        if self.app.crashed:
            return f"Faust crashed: {self.app.crash_reason!r}"
        return None

    def _never_ready(self) -> str | None:
        if not self._was_ready and self.elapsed_s() - self._awake_since_s > NOT_READY_S:
            return f"no partitions and tables within {NOT_READY_S:.0f} s of the start"
        return None

    def _stuck_rebalance(self) -> str | None:
        """Find a rebalance or a recovery of tables that comes no nearer to its end: until then nothing is read."""
        if not self.app.rebalancing:
            self._rebalance = None
            return None
        reached, elapsed_s = (self.app.generation(), self.app.changes_to_recover()), self.elapsed_s()
        if self._rebalance is None or reached != self._rebalance.position:
            self._rebalance = _Movement(reached, elapsed_s)
        elif self._was_ready and elapsed_s - self._rebalance.since_s > NOT_READY_S:
            return (
                f"a rebalance has stood still for {NOT_READY_S:.0f} s, with {reached[1]} changes of tables to recover"
            )
        return None

    def _stuck_partition(self) -> str | None:
        """Find a partition with unread records whose position has not moved, unless a store holds it up."""
        elapsed_s = self.elapsed_s()
        assigned = set(self._assigned())
        if waiting_for_stores() or self.app.rebalancing:
            self._movements.clear()
            return None
        for gone in self._movements.keys() - assigned:
            del self._movements[gone]
        for partition in assigned:
            position = self.app.floors.position(partition)
            movement = self._movements.get(partition)
            if movement is None or movement.position != position or not self.app.lag(partition):
                if movement is not None and movement.position != position:
                    self._moved_s = elapsed_s
                self._movements[partition] = _Movement(position, elapsed_s)
            elif elapsed_s - movement.since_s > NO_MOVE_S and self.app.floors.reads(partition.topic):
                return f"{partition.topic}/{partition.partition} has unread records and does not move"
        return None

    def _no_commit(self, facts: WorkerFacts) -> str | None:
        elapsed_s = self.elapsed_s()
        records_flow = elapsed_s - self._moved_s < 5.0
        patience_s = min(facts.seconds_since_commit, elapsed_s - self._awake_since_s)
        if records_flow and self._to_commit() and patience_s > NO_COMMIT_S:
            return f"no commit for {facts.seconds_since_commit:.0f} s while records flow"
        return None

    def _to_commit(self) -> bool:
        floors = self.app.floors
        pairs = [(floors.floor(tp), self.app.committed(tp)) for tp in floors.partitions()]
        return any(floor is not None and floor > (committed or 0) for floor, committed in pairs)
