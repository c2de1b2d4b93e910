"""Ticks: time for partitions where nothing happens.

::

    assigned otel.* partition, read to its end, no record for tick_interval_s ──▶ empty record with TICK_HEADER
                        ▲                                                                    │
                        └─────────────── ingest reads it as any record ◀─────────────────────┘

So each partition's log carries time itself, and no stage ever guesses whether a source is idle or late. A
partition with unread records gets none: its own records will tell the time when they are read. Records that are taken
and not stored yet are read: an insert that waits for more must not make time stand still.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog
from faust.types import TP

from schemas.errors import StoreError
from schemas.keys import TICK_HEADER
from schemas.topics import RAW_TOPICS
from sinks.kafka.producer import Producer
from topologies import metrics

log = structlog.get_logger()

SOURCE_TOPICS = frozenset(topic.name for topic in RAW_TOPICS)
"""The topics whose time moves windows, or, of metrics, the rankings that look at them."""


class Ticker:
    """Keeps the time of quiet source partitions moving. ``heard`` is called by ingest for each batch.

    ``lag`` tells how many records of a partition are unread, when those below an offset are taken.
    """

    def __init__(
        self,
        producer: Producer,
        assigned: Callable[[], Iterable[TP]],
        lag: Callable[[TP, int], int | None],
        interval_s: float,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._assigned = assigned
        self._lag = lag
        self._interval_s = interval_s
        self._elapsed_s = elapsed_s
        self._heard_s: dict[TP, float] = {}
        self._taken: dict[TP, int] = {}

    def heard(self, partition: TP, next_offset: int = 0) -> None:
        """Note that all records of ``partition`` below ``next_offset`` are taken, the last of them just now."""
        self._heard_s[partition] = self._elapsed_s()
        self._taken[partition] = max(next_offset, self._taken.get(partition, 0))

    def unread(self, partition: TP) -> int | None:
        """Return how many records of an assigned partition ingest has not taken yet; None while that is unknown."""
        return self._lag(partition, self._taken.get(partition, 0))

    def forget(self) -> None:
        """Forget what was taken: at a rebalance it is read again."""
        self._taken.clear()

    def quiet(self) -> list[TP]:
        """Return the assigned source partitions that are read to their end and were silent for the interval."""
        due_s = self._elapsed_s() - self._interval_s
        return [
            partition
            for partition in self._assigned()
            if partition.topic in SOURCE_TOPICS
            and self._heard_s.get(partition, due_s) <= due_s
            and self.unread(partition) == 0
        ]

    async def tick(self) -> None:
        """Send one tick into each quiet partition. A broker that is away is no reason to fail: time waits too."""
        partitions = self.quiet()
        for partition in partitions:
            self.heard(partition)
        sends = [
            self._producer.send(tp.topic, b"", headers=((TICK_HEADER, b"1"),), partition=tp.partition)
            for tp in partitions
        ]
        for partition, outcome in zip(partitions, await asyncio.gather(*sends, return_exceptions=True), strict=True):
            if isinstance(outcome, StoreError):
                log.warning("tick_not_sent", topic=partition.topic, partition=partition.partition, error=str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                metrics.TICKS.labels(partition.topic).inc()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(self._interval_s / 4)
