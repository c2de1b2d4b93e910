"""What may be committed: the floor under everything that is still needed.

::

    stage "ingest"  reads otel.traces/0   next 412, needs 380 on (an open pane)  ┐
    stage "x"       reads otel.traces/0   next 405, needs nothing                ┴▶ floor 380 ──▶ Kafka

Faust's own acknowledgements decide nothing here: it commits past events in flight and acknowledges what
failed (FloorConsumer says where it is overridden). After a crash, reading starts again at the floor and
rebuilds what was in memory; nothing older is needed by anybody.

At a rebalance *every* partition, also those that stay, is rewound to its committed offset. So all
floors, like all state in memory, belong to one generation of the consumer group and end with it.

Rewinding stands still until it is done (`FloorConsumer.perform_seek`). Faust fetches on while it seeks partition
by partition, and empties the stages' queues afterwards: what had come meanwhile was read and then thrown away.

What may be dropped on the way from a poll to a stage, and by whom:

- A record is stamped with the generation in which it is handed on (`FloorConsumer._to_message`). Of what stages read
  Faust hands on nothing from a revocation until the rewind of the next generation, and never the rest of a poll that
  either has interrupted. So what has a generation's stamp was fetched behind its rewind, and comes in order.
- `topologies.lanes` drops what has another stamp, and what a lane has taken already. Nobody else may drop what a stage
  reads: `_ReadOffsets` takes that from Faust.
- A lane begins at the committed offset, so a record that did not come all the same is counted as missing, by name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import structlog
from aiokafka.structs import TopicPartition
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from schemas.failpoints import Failpoint
from topologies import metrics
from topologies.failpoints import reached
from topologies.parcels import Parcel, parcels
from topologies.patience import LaneEndedError, insist
from topologies.polling import PollThread

log = structlog.get_logger()

ENDS_PATIENCE_S = 60.0
"""How long the recovery of tables waits for a broker that does not tell where they end, before the worker ends itself.
After 90 s Faust would give the recovery up without a word."""


class Floors:
    """The smallest offset still needed of each partition, over all stages that read its topic.

    A floor is known once *every* reading stage has reported in this generation, because a stage that has
    not reported yet may need anything from the committed offset on.
    """

    def __init__(self) -> None:
        self._stages: dict[str, set[str]] = {}
        self._reports: dict[TP, dict[str, tuple[int, int]]] = {}
        self._generation = -1

    @property
    def generation(self) -> int:
        """The consumer group generation that the reports belong to."""
        return self._generation

    def reader(self, stage: str, topic: str) -> None:
        """Declare that ``stage`` reads ``topic``: no floor of it is known without this stage's report."""
        self._stages.setdefault(topic, set()).add(stage)

    def reads(self, topic: str) -> bool:
        """Tell whether any stage reads ``topic`` (the tables' changelogs have no floor)."""
        return topic in self._stages

    def begin(self, generation: int) -> None:
        """Forget all reports: a rebalance has rewound every partition."""
        self._generation = generation
        self._reports.clear()

    def report(self, stage: str, partition: TP, generation: int, next_offset: int, needed: int | None) -> None:
        """Tell that ``stage`` is done with everything below ``next_offset`` except what ``needed`` and on holds.

        A report of an older generation is ignored. Raises `ValueError` for a stage that was not declared.
        """
        if stage not in self._stages.get(partition.topic, ()):
            raise ValueError(f"stage {stage} never said that it reads {partition.topic}")
        if generation == self._generation:
            floor = next_offset if needed is None else min(needed, next_offset)
            self._reports.setdefault(partition, {})[stage] = (next_offset, floor)

    def floor(self, partition: TP) -> int | None:
        """Return the offset to commit, or None while a reading stage has not reported."""
        reports = self._reports.get(partition, {})
        if len(reports) < len(self._stages.get(partition.topic, ())):
            return None
        return min((floor for _, floor in reports.values()), default=None)

    def position(self, partition: TP) -> int | None:
        """Return the offset below which every reading stage has seen each record, or None as for `floor`."""
        reports = self._reports.get(partition, {})
        if len(reports) < len(self._stages.get(partition.topic, ())):
            return None
        return min((next_offset for next_offset, _ in reports.values()), default=None)

    def partitions(self) -> Iterator[TP]:
        """Yield the partitions with at least one report."""
        yield from list(self._reports)


@dataclass(slots=True)
class CommitHealth:
    """When commits last worked: read by the watchdog and the worker's health facts. Instants are monotonic seconds."""

    last_commit_s: float = field(default_factory=time.monotonic)
    failed_commits: int = 0


class FlooredApp(Protocol):
    """What `FloorConsumer` needs of its app."""

    floors: Floors
    commit_health: CommitHealth
    fail: Callable[[str, BaseException], None]
    read_ends: Callable[[Sequence[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]


class FloorConsumer(Consumer):
    """Faust's aiokafka consumer, with `Floors` in place of its acknowledgement lists.

    Overridden internals of faust-streaming 0.15: ``_filter_tps_with_pending_acks`` and ``_new_offset`` (what to
    commit), ``ack`` (no lists that nobody trims), ``_add_gap`` (a jump acknowledges nothing), ``_commit_offsets`` (a
    failed commit is not booked as done), ``perform_seek`` (nothing is fetched before it is over), ``_getmany`` and
    ``_to_message`` (records of the stages come in parcels), ``highwaters`` (see `sinks.kafka.ends`), ``_read_offset``
    (Faust drops nothing that a stage reads), ``_wait_next_records`` (no second is slept when all buffers are full).
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._read_offset = _ReadOffsets(lambda topic: self._floors.reads(topic))
        self._wanted = asyncio.Event()

    def _new_consumer_thread(self) -> PollThread:
        return PollThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _floors(self) -> Floors:
        return cast("FlooredApp", self.app).floors

    @property
    def _commit_health(self) -> CommitHealth:
        return cast("FlooredApp", self.app).commit_health

    def committed_offset(self, partition: TP) -> int | None:
        """Return the committed offset as last read from the broker or written to it."""
        return self._committed_offset.get(partition)

    def on_buffer_drop(self, tp: TP) -> None:
        """Let a partition be polled again, at once."""
        super().on_buffer_drop(tp)
        self._polled_again()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Let partitions be polled again, at once."""
        super().resume_partitions(tps)
        self._polled_again()

    def _polled_again(self) -> None:
        # A poll that is under way does not ask for them, and may wait for a second.
        self._wanted.set()
        cast("PollThread", self._thread).end_poll_soon()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        if self.flow_active and not self._get_active_partitions():
            self._wanted.clear()
            await self.wait(cast(Any, self._wanted), timeout=timeout)  # Faust would sleep for a second
        return await super()._wait_next_records(timeout)

    async def _getmany(self, *arguments: Any, **options: Any) -> Any:
        found, reads = await super()._getmany(*arguments, **options), self._floors.reads
        return {tp: list(parcels(records)) if reads(tp.topic) else records for tp, records in found.items()}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        packed = isinstance(record, Parcel)
        message: ConsumerMessage = super()._to_message(tp, record.first if packed else record)
        if packed:
            message.key, message.headers, message.value = None, None, record
        return message

    async def perform_seek(self) -> None:
        """Rewind every partition that a stage reads, with the flow stopped; Faust resumes it when all is ready."""
        self.stop_flow()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int | None]:  # type: ignore[override]  # Faust takes None, too
        """Rewind to the committed offsets, or to the beginning where there is none; return them, None for none."""
        sources = [TopicPartition(*tp) for tp in self.assignment() if self._floors.reads(tp.topic)]
        return await cast("PollThread", self._thread).rewind(sources)

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Return the ends up to which tables are recovered. (The embedded broker tells Faust wrong ones.)"""
        places = [TopicPartition(*tp) for tp in partitions]
        read_ends = cast("FlooredApp", self.app).read_ends
        until_s = time.monotonic() + ENDS_PATIENCE_S
        try:
            ends = await insist("kafka", "ends", lambda: read_ends(places), lambda: time.monotonic() < until_s)
        except LaneEndedError as error:
            cast("FlooredApp", self.app).fail("tables", error)
            raise
        return {TP(*place): end for place, end in ends.items()}

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for partition in self._floors.partitions():
            if topics is None or partition in topics or partition.topic in topics:
                yield partition

    def _new_offset(self, tp: TP) -> int | None:
        return self._floors.floor(tp)

    def ack(self, message: Any) -> bool:
        """Release the message; it says nothing about what may be committed."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Book nothing: Faust's read offset also jumps when it seeks, so `topologies.lanes` looks for gaps."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        assigned = self.assignment()
        committable = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not committable:
            return False
        reached(Failpoint.COMMIT_BEFORE)
        if not await self._commit(committable):
            self._commit_health.failed_commits += 1
            metrics.COMMITS.labels("failed").inc()
            return False
        reached(Failpoint.COMMIT_AFTER)
        self._committed_offset.update(committable)
        self._commit_health.last_commit_s = time.monotonic()
        metrics.COMMITS.labels("done").inc()
        return True


class _ReadOffsets(dict[TP, int | None]):
    """What Faust has handed on, and drops silently when it comes again; nothing is known of what stages ``read``.

    Faust notes the offset of a record after it was handed on, also when a rewind has come between: then all that was to
    be read again would be dropped up to there. Lanes know better what they have taken.
    """

    def __init__(self, reads: Callable[[str], bool]) -> None:
        super().__init__()
        self._reads = reads

    def __getitem__(self, partition: TP) -> int | None:
        return None if self._reads(partition.topic) else self.get(partition)


class FloorTransport(Transport):
    """The aiokafka transport with `FloorConsumer`."""

    Consumer = FloorConsumer
