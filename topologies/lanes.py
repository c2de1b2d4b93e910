"""Lanes: what a stage keeps for each partition it reads.

::

    events of one batch ──▶ Lanes.split ──▶ lane otel.traces/0: records in order, state ──▶ the stage
                                  │         lane otel.traces/3: …
                                  ├──▶ dropped: of an older generation, or read already
                                  └──▶ counted: offsets that were skipped over

A lane lives for one generation of the consumer group: a rebalance rewinds all partitions to the committed
floor, so every state starts anew there and is rebuilt by replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from faust.types import TP

from topologies import metrics
from topologies.offsets import Floors
from topologies.parcels import Record, records_of

log = structlog.get_logger()

S = TypeVar("S")


@dataclass(slots=True)
class Lane(Generic[S]):
    """One partition in one generation: where reading began and goes on, and the stage's state."""

    partition: TP
    generation: int
    state: S
    first_offset: int
    next_offset: int


class Lanes(Generic[S]):
    """The lanes of one stage."""

    def __init__(
        self,
        stage: str,
        topics: Iterable[str],
        floors: Floors,
        generation: Callable[[], int],
        initial: Callable[[TP], S],
        committed: Callable[[TP], int | None] = lambda _: None,
    ) -> None:
        self.stage = stage
        self._committed = committed
        self._floors = floors
        self._generation = generation
        self._initial = initial
        self._lanes: dict[TP, Lane[S]] = {}
        for topic in topics:
            floors.reader(stage, topic)

    def split(self, events: Iterable[Any]) -> list[tuple[Lane[S], list[Record]]]:
        """Group a batch of Faust events by lane, in order; drop what another generation or a rewind left over."""
        batches: dict[TP, tuple[Lane[S], list[Record]]] = {}
        for event in events:
            message = event.message
            lane, records = self._lane(message), records_of(message)
            fresh = [record for record in records if lane is not None and record.offset >= lane.next_offset]
            if len(fresh) < len(records):
                metrics.RECORDS_DROPPED.labels(self.stage, message.topic).inc(len(records) - len(fresh))
            if lane is not None and fresh:
                self._count_missing(lane, fresh)
                lane.next_offset = fresh[-1].offset + 1
                batches.setdefault(message.tp, (lane, []))[1].extend(fresh)
        for partition, (_, taken) in batches.items():
            metrics.RECORDS.labels(self.stage, partition.topic).inc(len(taken))
        return list(batches.values())

    def _lane(self, message: Any) -> Lane[S] | None:
        generation = self._generation()
        if message.generation_id != generation:
            return None
        lane = self._lanes.get(message.tp)
        if lane is None or lane.generation != generation:
            partition = TP(*message.tp)
            start = self._committed(partition)
            start = message.offset if start is None else start
            lane = Lane(partition, generation, self._initial(partition), start, start)
            self._lanes[partition] = lane
        return lane

    def _count_missing(self, lane: Lane[S], records: Sequence[Record]) -> None:
        # Our topics are neither compacted nor transactional, so a jump means that retention or the broker ate records.
        if records[-1].offset - lane.next_offset < len(records):
            return
        place = {"stage": self.stage, "partition": lane.partition}
        for expected, record in zip([lane.next_offset, *(each.offset + 1 for each in records)], records, strict=False):
            if missing := record.offset - expected:
                metrics.RECORDS_MISSING.labels(lane.partition.topic).inc(missing)
                log.error("records_missing", **place, first=expected, count=missing)

    def is_current(self, lane: Lane[Any]) -> bool:
        """Tell whether the lane's partition is still ours: work for an old lane is to be given up."""
        return lane.generation == self._generation()

    def wanted(self, lane: Lane[Any]) -> Callable[[], bool]:
        """Return the question `is_current` for later, as `topologies.patience.insist` asks it."""
        return lambda: self.is_current(lane)

    def report(self, lane: Lane[Any], needed: int | None, next_offset: int | None = None) -> None:
        """Report the lane as done below ``next_offset`` (None: all it has taken) but for ``needed`` and later records.

        ``next_offset`` is for a stage that takes a batch while the one before is still on its way.
        """
        position = lane.next_offset if next_offset is None else next_offset
        self._floors.report(self.stage, lane.partition, lane.generation, position, needed)

    def __iter__(self) -> Iterator[Lane[S]]:
        """Yield the lanes of the present generation."""
        return iter([lane for lane in self._lanes.values() if self.is_current(lane)])

    def clear(self) -> None:
        """Forget all lanes."""
        self._lanes.clear()
