"""Landing raw rows: each stored exactly once, or the one that cannot be found out and dead-lettered.

::

    rows ──▶ pending (PostgreSQL) ──▶ insert (ClickHouse) ──▶ durable (PostgreSQL)          streams.landing decides,
                   ▲                    ├─ unavailable ──▶ again until it works, and counted  this module performs
                   └─── halves ◀────────┴─ refused ──▶ … ──▶ one row ──▶ dead letter
    new partitions ──▶ claim ──▶ what is pending: read again from Kafka, inserted again ──▶ durable

A store that is away is waited for, and nothing is read meanwhile. A payload that our decoder takes and ClickHouse
does not would otherwise wedge the worker for good. When row after row of most tenants is refused, a row of our own is
tried (`topologies.probing`): refused as well, it is the store or a bug of ours, and the worker stops rather than divert
everything. What is refused counts towards the limits of `topologies.diverting`, too, as what the decoder refuses does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from schemas.checkpoints import Checkpoint, OffsetRange, PendingInsert
from schemas.errors import BadPayload, RejectReason, StoreRejected
from schemas.failpoints import Failpoint
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.kafka.producer import Message
from sinks.postgres.checkpoints import Checkpoints
from streams.diversion import DiversionFold, DiversionLimits
from streams.landing import Answer, Begin, Check, Divert, Finish, OwnerChangedError, Ownership, Reread, Steps, Store
from topologies import metrics
from topologies.dead_letters import Origin, message_letter
from topologies.failpoints import reached
from topologies.patience import LaneEndedError, insist

log = structlog.get_logger()

REJECTED_IN_A_ROW = 16
"""So many rows of a tenant rejected in a row, and of most other tenants too, may be a bug and no bad input."""

Wanted = Callable[[], bool]
Keep = Callable[[RawRow, Message, Wanted], Awaitable[None]]
ReadAgain = Callable[[PendingInsert, Wanted], Awaitable[Sequence[RawRow]]]
ReadEnds = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
Probing = Callable[[Wanted, str], Awaitable[bool]]


class Landing:
    """The raw sink of one topic as ingest uses it.

    ``keep`` confirms the dead letter of a row; ``read_again`` makes rows of the records that a pending insert names;
    ``read_ends`` asks where partitions end; ``probe`` tells whether the store takes what is good. ``patience_s`` is how
    long Kafka may take to say what PostgreSQL says already: that a partition has another owner; and how long it may not
    know the end of a log.
    """

    def __init__(
        self,
        topic: str,
        sink: RawSink,
        checkpoints: Checkpoints,
        keep: Keep,
        read_again: ReadAgain,
        read_ends: ReadEnds,
        probe: Probing,
        *,
        patience_s: float = 60.0,
    ) -> None:
        self._topic = topic
        self._sink = sink
        self._checkpoints = checkpoints
        self._keep = keep
        self._read_again = read_again
        self._read_ends = read_ends
        self._probe = probe
        self._patience_s = patience_s
        self._generation = -1
        self._owner: Ownership[RawRow] = Ownership(topic)
        self._rejections = DiversionFold(DiversionLimits(in_a_row=REJECTED_IN_A_ROW, ratio=0))

    async def own(self, generation: int, starts: Mapping[int, int], wanted: Wanted) -> None:
        """Claim the partitions that are new in this generation, and store again what was pending for them.

        ``starts`` are the partitions with the offsets at which reading began. Raises as `land` does.
        """
        if generation != self._generation:
            self._generation, self._owner = generation, Ownership(self._topic)
        new = [partition for partition in starts if partition not in self._owner.epochs]
        if not new:
            return
        reached(Failpoint.CLAIM_BEFORE)
        claimed = await insist("postgres", "claim", lambda: self._checkpoints.claim(self._topic, new), wanted)
        reached(Failpoint.CLAIM_AFTER)
        for each in claimed:
            self._tell(each, starts[each.partition])
        claimed = await self._of_this_log(claimed, wanted)
        await self._perform_all(self._owner.recover(claimed), wanted)
        if any(each.pending for each in claimed):
            reached(Failpoint.RECOVERY_AFTER)

    async def land(self, rows: Sequence[RawRow], wall_ns: int, wanted: Wanted) -> None:
        """Store the rows of owned partitions that are not stored yet. ``wall_ns`` is the clock their arrivals obey.

        Raises `LaneEndedError` when the rows are not ``wanted`` any more, `StoreRejected` when so much is
        rejected, and a good row as well, that it is not the input, `OwnerChangedError` when another worker has a
        partition that Kafka says is ours.
        """
        await self._perform_all(self._owner.land(rows, wall_ns), wanted)

    async def pass_over(self, ranges: Sequence[OffsetRange], wanted: Wanted) -> None:
        """Note ranges as durable whose rows are stored and whose dead letters are confirmed. Raises as `land` does."""
        await self._perform_all(self._owner.pass_over(ranges), wanted)

    def _tell(self, claimed: Checkpoint, start: int) -> None:
        place = {"topic": self._topic, "partition": claimed.partition, "epoch": claimed.epoch}
        pending = claimed.pending.token if claimed.pending else None
        log.info("checkpoint_claimed", **place, durable=claimed.durable_offset, pending=pending)
        own = claimed.pending.range_of(claimed.partition) if claimed.pending else None
        if own is not None and own.first < start:
            # Our own floors never pass it: somebody has set the group's offsets. It is read again all the same.
            log.warning("offset_committed_past_pending_insert", **place, pending=pending, committed=start)

    async def _of_this_log(self, claimed: list[Checkpoint], wanted: Wanted) -> list[Checkpoint]:
        """Set checkpoints back that speak of offsets which the log does not have: the topic was made anew.

        What they speak of is another log's; skipping by it would lose records. A new leader may not know the end of
        its own log for a moment, so it is asked for a while.
        """
        until_s = time.monotonic() + self._patience_s
        while cut := await self._past_the_end(claimed, wanted):
            if time.monotonic() > until_s:
                return [await self._rewound(each, wanted) if each in cut else each for each in claimed]
            await asyncio.sleep(min(1.0, self._patience_s / 4))
        return claimed

    async def _past_the_end(self, claimed: list[Checkpoint], wanted: Wanted) -> list[Checkpoint]:
        used = [each.partition for each in claimed if each.durable_offset >= 0]
        ends = await insist("kafka", "ends", lambda: self._read_ends(used), wanted) if used else {}
        return [each for each in claimed if each.durable_offset >= ends.get(each.partition, 0)]

    async def _rewound(self, owned: Checkpoint, wanted: Wanted) -> Checkpoint:
        log.error("topic_made_anew", topic=self._topic, partition=owned.partition, durable=owned.durable_offset)
        await insist("postgres", "rewind", lambda: self._checkpoints.rewind(self._topic, owned, -1), wanted)
        return replace(owned, durable_offset=-1, pending=None)

    async def _perform_all(self, steps: Steps[RawRow], wanted: Wanted) -> None:
        """Perform the protocol's steps to its end."""
        answer: Any = None
        try:
            while True:
                answer = await self._perform(steps.send(answer), wanted)
        except StopIteration:
            return
        except OwnerChangedError as error:
            await self._until_ended(wanted, error)

    async def _perform(self, step: Any, wanted: Wanted) -> Any:
        match step:
            case Begin():
                return await self._begin(step, wanted)
            case Store():
                return await self._store(step, wanted)
            case Check():
                return await self._check(step, wanted)
            case Divert():
                return await self._divert(step.row, wanted)
            case Finish():
                return await self._finish(step, wanted)
            case Reread():
                return await self._reread(step, wanted)

    async def _begin(self, step: Begin, wanted: Wanted) -> bool:
        reached(Failpoint.PENDING_BEFORE)
        epochs = self._owner.epochs
        ours = await insist(
            "postgres", "pending", lambda: self._checkpoints.begin(step.insert, epochs, step.released), wanted
        )
        reached(Failpoint.PENDING_AFTER)
        return ours

    async def _store(self, step: Store[RawRow], wanted: Wanted) -> Answer:
        reached(Failpoint.INSERT_BEFORE)
        rows = _arrived_by(step.insert.wall_ns, step.rows)
        attempts = 0

        async def attempt() -> None:
            nonlocal attempts
            attempts += 1
            await self._sink.insert(self._topic, rows, step.insert.token, self._owner.epochs)

        try:
            await insist("clickhouse", "land", attempt, wanted)
        except StoreRejected as error:
            reached(Failpoint.REJECTED)
            await self._judge(step.rows, error, wanted)
            return Answer.REFUSED
        reached(Failpoint.INSERT_AFTER)
        for tenant in {row.tenant for row in rows}:
            self._rejections.step(tenant, refused=False)
        return Answer.STORED if attempts == 1 else Answer.REPEATED

    async def _check(self, step: Check[RawRow], wanted: Wanted) -> bool:
        rows = _arrived_by(step.insert.wall_ns, step.rows)
        whole = await insist("clickhouse", "check", lambda: self._sink.is_whole(self._topic, rows), wanted)
        if not whole:
            metrics.TAKEN_BACK.labels(self._topic).inc()
            log.warning("repeated_insert_not_whole", topic=self._topic, rows=len(step.rows))
        reached(Failpoint.CHECKED)
        return whole

    async def _judge(self, rows: Sequence[RawRow], error: StoreRejected, wanted: Wanted) -> None:
        """Count a row that is refused for itself alone. Raises `StoreRejected` when a good one would be, too."""
        if len(rows) > 1:
            return
        self._rejections.step(rows[0].tenant, refused=True)
        if self._rejections.verdict() is not None and not await self._probe(wanted, "row after row"):
            raise error
        place = {"topic": self._topic, "partition": rows[0].partition, "offset": rows[0].offset}
        log.warning("row_rejected", **place, error=str(error))

    async def _divert(self, row: RawRow, wanted: Wanted) -> None:
        metrics.DEAD_LETTERS.labels(metrics.tenant_label(row.tenant), RejectReason.DECODE).inc()
        arrival_ns = row.arrival_ns if row.is_driven else min(row.arrival_ns, time.time_ns())
        origin = Origin(
            self._topic, row.partition, row.offset, row.tenant, arrival_ns, driven=row.is_driven, replay=row.replay
        )
        refusal = BadPayload(RejectReason.DECODE, "ClickHouse refuses the payload")
        whole = row.value if row.sent is None else row.sent
        await self._keep(row, message_letter(origin, whole, refusal), wanted)

    async def _finish(self, step: Finish, wanted: Wanted) -> None:
        reached(Failpoint.DURABLE_BEFORE)
        epochs = self._owner.epochs
        await insist("postgres", "durable", lambda: self._checkpoints.finish(self._topic, step.ranges, epochs), wanted)
        reached(Failpoint.DURABLE_AFTER)

    async def _reread(self, step: Reread, wanted: Wanted) -> tuple[RawRow, ...]:
        metrics.RECOVERED.labels(self._topic).inc()
        rows = tuple(await self._read_again(step.insert, wanted))
        log.info("pending_insert_read_again", insert=step.insert.token, rows=len(rows))
        reached(Failpoint.RECOVERY_BEFORE)
        return rows

    async def _until_ended(self, wanted: Wanted, error: OwnerChangedError) -> None:
        """Wait until Kafka has taken the partitions away, too. Raises `LaneEndedError`; ``error`` if it does not."""
        log.warning("partition_has_another_owner", insert=str(error))
        until_s = time.monotonic() + self._patience_s
        while wanted():
            if time.monotonic() > until_s:
                raise error
            await asyncio.sleep(0.1)  # the generation is Faust's to say: there is no event to wait for
        raise LaneEndedError("another worker owns the partition") from error


def _arrived_by(wall_ns: int, rows: Sequence[RawRow]) -> list[RawRow]:
    """Take arrivals in the future back to an insert's clock, so that its rows are the same in every attempt."""
    return [row if row.arrival_ns <= wall_ns or row.is_driven else replace(row, arrival_ns=wall_ns) for row in rows]
