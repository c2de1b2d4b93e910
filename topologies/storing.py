"""The second half of ingest: a decoded batch into the raw tables, while the next one is taken and decoded.

::

    decoded batch of all lanes ─▶ claim ─▶ one insert ─▶ dead letters ─▶ late notices ─▶ accounts ─▶ floors
                                  (topologies.landing)   (each confirmed before the next)

One batch at a time, in order. A batch that fails ends the worker, so nothing is ever stored past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from schemas.checkpoints import OffsetRange, PendingInsert
from schemas.failpoints import Failpoint
from schemas.topics import TopicSpec
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.kafka.producer import Message
from sinks.kafka.ranges import read_ends
from sinks.postgres.checkpoints import Checkpoints
from streams.progress import Progress
from topologies.accounting import Accounts, lowest
from topologies.diverting import Diverting
from topologies.failpoints import reached
from topologies.landing import Landing
from topologies.lanes import Lane, Lanes
from topologies.patience import LaneEndedError, insist
from topologies.progressing import FloorKeeper
from topologies.source_folds import Intake
from topologies.wiring import Wiring

Wanted = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of one lane whose windows are sent, and what its floor may be once the rest is stored too.

    ``needed`` and ``closed`` are of the moment when all that the folds had closed was sent. ``keeper`` is None for a
    signal without windows.
    """

    lane: Lane[Any]
    intake: Intake
    next_offset: int
    needed: int | None
    keeper: FloorKeeper | None
    closed: Progress | None
    late: list[Message]

    @property
    def taken(self) -> OffsetRange:
        """The end of what was taken of the lane: all before it is in this batch or in one that is stored."""
        last = self.next_offset - 1
        return OffsetRange(self.lane.partition.partition, last, last)


class Storing:
    """Stores the batches of one raw topic. ``read_again`` takes the records of a pending insert once more."""

    def __init__(
        self,
        wiring: Wiring,
        topic: TopicSpec,
        lanes: Lanes[Any],
        sink: RawSink,
        checkpoints: Checkpoints,
        read_again: Callable[[PendingInsert, Wanted], Awaitable[Sequence[Intake]]],
    ) -> None:
        self._wiring = wiring
        self._topic = topic
        self._lanes = lanes
        self._read_again = read_again
        self._landing = Landing(topic.name, sink, checkpoints, self._divert, self._rows_again, self._ends)
        self._diversion = Diverting(wiring, topic)
        self._accounts = Accounts(wiring.stores.clickhouse)
        self._in_flight: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    async def store(self, batch: Sequence[Decoded], present_ns: int) -> None:
        """Begin to store a batch, once the one before it is stored. Raises what has ended that one.

        ``present_ns`` is the clock that the arrivals in the batch obey.
        """
        if self._in_flight is not None:
            await asyncio.wait([self._in_flight])
        if self._failure is not None:
            raise self._failure
        if batch:
            self._in_flight = self._wiring.app.add_future(self._store_all(batch, present_ns))

    def forget(self) -> None:
        """Forget what is not written yet, at a rebalance: it is read again."""
        self._accounts.clear()

    async def _store_all(self, batch: Sequence[Decoded], present_ns: int) -> None:
        try:
            with suppress(LaneEndedError):  # all lanes end together, with their generation
                await self._land(batch, present_ns)
                await self._diversion.judge([refusal for decoded in batch for refusal in decoded.intake.refusals])
                for decoded in batch:
                    self._accounts.take(decoded.intake.ledger, decoded.next_offset)
                    await self._accounts.write(self._lanes.wanted(decoded.lane))
                    await self._settle(decoded)
        except Exception as error:
            self._failure = error
            self._wiring.app.fail(self._lanes.stage, error)

    async def _land(self, batch: Sequence[Decoded], present_ns: int) -> None:
        """Land the rows of all lanes with one insert, then send what speaks of them."""
        lane = batch[0].lane
        wanted = self._lanes.wanted(lane)
        if not wanted():
            raise LaneEndedError("the partitions were reassigned")
        starts = {decoded.lane.partition.partition: decoded.lane.first_offset for decoded in batch}
        await self._landing.own(lane.generation, starts, wanted)
        await self._landing.land([row for decoded in batch for row in decoded.intake.rows], present_ns, wanted)
        await self._send_letters([letter for decoded in batch for letter in decoded.intake.letters], wanted)
        lettered = [each for each in batch if each.intake.letters]
        await self._landing.pass_over([each.taken for each in lettered], wanted)
        for decoded in batch:
            await self._wiring.send(self._lanes, decoded.lane, decoded.late)

    async def _send_letters(self, letters: list[Message], wanted: Wanted) -> None:
        if not letters:
            return
        reached(Failpoint.LETTERS_BEFORE)
        await insist("kafka", "send", lambda: self._wiring.producer.send_many(letters), wanted)
        reached(Failpoint.LETTERS_AFTER)

    async def _divert(self, letters: list[Message], wanted: Wanted) -> None:
        """Keep rows that ClickHouse refuses."""
        self._accounts.refused(letters)
        await self._send_letters(letters, wanted)

    async def _rows_again(self, insert: PendingInsert, wanted: Wanted) -> list[RawRow]:
        """Return the rows of a pending insert, in its order.

        Dead letters of those records are sent as well: their keys make a second one recognisable.
        """
        intakes = await self._read_again(insert, wanted)
        await self._send_letters([letter for intake in intakes for letter in intake.letters], wanted)
        return [row for intake in intakes for row in intake.rows]

    async def _ends(self, partitions: Sequence[int]) -> dict[int, int]:
        return await read_ends(self._wiring.settings, self._topic.name, partitions)

    async def _settle(self, decoded: Decoded) -> None:
        needed = lowest(decoded.needed, self._accounts.needed(decoded.lane.partition))
        if decoded.keeper is None:
            self._lanes.report(decoded.lane, needed, decoded.next_offset)
        else:
            await decoded.keeper.settle(self._lanes, decoded.lane, needed, decoded.closed, decoded.next_offset)
