"""Carrying time on: progress records to every partition of the next topic, and the checkpoint of what is closed.

::

    fold flushed, data confirmed ──▶ Broadcast.send ──▶ next topic, all partitions (PROGRESS_KEY)
                                 └─▶ ClosedTable.save ──▶ Floors.report          (in this order, see below)

A fold that starts again below the committed floor meets records of panes that had been closed and sent in full.
Rebuilt from there they would be incomplete, so the fold is told what was closed (``closed=``). That checkpoint is
confirmed *before* the floor that needs it may be committed; being ahead of the floor does no harm.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from faust.types import TP

from schemas.errors import BadPayload
from schemas.failpoints import Failpoint
from schemas.keys import PROGRESS_KEY
from schemas.topics import CLOSED_TABLE, TopicSpec
from sinks.kafka.producer import Message
from streams.progress import MAX_DRIVEN, Progress
from topologies.app import StreamApp
from topologies.failpoints import reached
from topologies.lanes import Lane, Lanes
from topologies.patience import insist
from topologies.tables import StateTable, state_table

log = structlog.get_logger()

PROGRESS_STEP_NS = 1_000_000_000
"""Progress by less than this is not worth a record to every partition."""

CHECKPOINT_PACE_S = 3.0

FLUSH_PAUSE = 16
"""From one flush of all lanes to the next is so many times its CPU time; to send what it brings takes as much again."""

LONGEST_PAUSE_S = 3.0
"""Stubs wait in memory for it, and what is closed is told so much later."""

INNER_PACE_S = 0.25
"""How often the stages behind ingest flush at most. Short, because each adds to the time until an incident shows."""


class Pacer:
    """Says when something that costs is due again. ``due`` starts the next interval."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last_s = 0.0

    def due(self, at_least_s: float = 0.0) -> bool:
        """Tell whether the interval, or a longer one, is over, and if so begin the next."""
        elapsed_s = time.monotonic()
        if elapsed_s - self._last_s < max(self._interval_s, at_least_s):
            return False
        self._last_s = elapsed_s
        return True


class Share:
    """How far apart flushes of many lanes have to be, so that they have a bounded share of the time of a core.

    Each lane flushes every series, however little it has of it: twice as many partitions cost twice as much.
    """

    def __init__(self) -> None:
        self._round_s = 0.0

    def took(self, flushes_s: Sequence[float], lanes: int) -> None:
        """Note the CPU times of the flushes of some lanes, of so many that there are."""
        if flushes_s:
            self._round_s = sum(flushes_s) / len(flushes_s) * lanes

    @property
    def pause_s(self) -> float:
        """From one flush of a lane to its next, at least."""
        return min(FLUSH_PAUSE * self._round_s, LONGEST_PAUSE_S)


class Broadcast:
    """Remembers what was told last, so that standing still costs no records."""

    def __init__(self, topic: TopicSpec, partitions: Iterable[int]) -> None:
        self._topic = topic
        self._partitions = tuple(partitions)
        self._told: Progress | None = None

    def messages(self, progress: Progress) -> list[Message]:
        """Return the records that tell ``progress``, or none when it is not news."""
        told = self._told
        if not progress.wall_ns and not progress.driven:
            return []  # nothing is known yet
        if (
            told is not None
            and progress.wall_ns - told.wall_ns < PROGRESS_STEP_NS
            and all(told.driven.get(tenant) == at_ns for tenant, at_ns in progress.driven.items())
        ):
            return []
        self._told = progress
        value = progress.encode()
        return [Message(self._topic.name, value, PROGRESS_KEY, partition=number) for number in self._partitions]


class ClosedTable:
    """What each fold had closed, as a table co-partitioned with the topics the folds read."""

    def __init__(self, app: StreamApp, partitions: int) -> None:
        self._table: StateTable = state_table(app, CLOSED_TABLE, partitions)

    def load(self, partition: TP) -> Progress | None:
        """Return what the fold of ``partition`` had closed when its floor was last raised, or None."""
        value = self._table.stored(_key(partition))
        if value is None:
            return None
        try:
            return Progress.decode(value)
        except BadPayload as error:
            log.error("closed_checkpoint_unreadable", partition=partition, detail=error.detail)
            return None

    async def save(self, partition: TP, closed: Progress) -> None:
        """Keep ``closed`` and wait until the broker has it. Never goes back: what was closed stays closed.

        Raises `StoreUnavailable`.
        """
        known = self.load(partition)
        kept = closed if known is None else latest(known, closed)
        await self._table.save(partition.partition, {_key(partition): kept.encode()})


def latest(older: Progress, newer: Progress) -> Progress:
    """Return the later of two progresses of one source, for the wall and for each driven tenant.

    A fold that has just started again knows less than the checkpoint it was started with.
    """
    driven = dict(older.driven)
    for tenant, at_ns in newer.driven.items():
        driven[tenant] = max(at_ns, driven.get(tenant, 0))
    newest = sorted(driven, key=lambda tenant: (tenant in newer.driven, driven[tenant]), reverse=True)[:MAX_DRIVEN]
    walls = older.driven_wall_ns | newer.driven_wall_ns
    return Progress(
        newer.source,
        max(older.wall_ns, newer.wall_ns),
        {tenant: driven[tenant] for tenant in newest},
        {tenant: walls[tenant] for tenant in newest if tenant in walls},
    )


def _key(partition: TP) -> bytes:
    return f"{partition.topic}/{partition.partition}".encode()


class FloorKeeper:
    """The floor of one lane: raised from time to time, each time after the checkpoint that it needs."""

    def __init__(self, closed: ClosedTable, partition: TP) -> None:
        self._closed = closed
        self._partition = partition
        self._floor: int | None = None
        self._saved: Progress | None = None
        self._pacer = Pacer(CHECKPOINT_PACE_S)

    async def settle(
        self,
        lanes: Lanes[Any],
        lane: Lane[Any],
        needed: int | None,
        closed: Progress | None,
        next_offset: int | None = None,
    ) -> None:
        """Report the lane as done below ``next_offset`` (None: all it has taken).

        Its floor is raised to ``needed`` (None: all of that) when that is due.
        """
        position = lane.next_offset if next_offset is None else next_offset
        target = position if needed is None else needed
        if self._floor is None:
            self._floor = min(target, lane.first_offset)
        if target > self._floor and self._pacer.due():
            if closed is not None and closed != self._saved:
                await insist("kafka", "checkpoint", lambda: self._save(closed), lanes.wanted(lane))
            self._floor = target
        lanes.report(lane, self._floor, position)

    async def _save(self, closed: Progress) -> None:
        reached(Failpoint.CLOSED_BEFORE)
        await self._closed.save(self._partition, closed)
        reached(Failpoint.CLOSED_AFTER)
        self._saved = closed
