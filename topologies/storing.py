"""The second half of ingest: decoded batches into the raw tables, while the next ones are taken and decoded.

::

    decoded batches ─▶ wait for each other ─▶ claim ─▶ one insert ─▶ dead letters ─▶ late notices ─▶ accounts ─▶ floors
    of all lanes       (topologies.collecting)         (topologies.landing)   (each confirmed before the next)

One insert at a time, in order; under load the next one is flattened meanwhile. One that fails ends the worker, so
nothing is ever stored past it. What waits while partitions are reassigned is given up: no floor has passed it, so its
next owner reads it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from faust.types import TP

from schemas.checkpoints import OffsetRange, PendingInsert
from schemas.crowding import MOST_REPEATED_BYTES
from schemas.failpoints import Failpoint
from schemas.topics import TopicSpec
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.kafka.producer import Message
from sinks.kafka.ranges import read_ends
from sinks.postgres.checkpoints import Checkpoints
from streams.diversion import DiversionLimits
from streams.progress import Progress
from topologies.accounting import Accounts, lowest
from topologies.collecting import Collecting, Room
from topologies.diverting import Diverting
from topologies.failpoints import reached
from topologies.landing import Landing
from topologies.lanes import Lane, Lanes
from topologies.patience import LaneEndedError, insist
from topologies.probing import Decode, Probe
from topologies.progressing import FloorKeeper
from topologies.source_folds import SIGNALS, Intake
from topologies.wiring import Wiring

Wanted = Callable[[], bool]

MOST_RECORDS = 4_096
"""Of one insert (a batch with more makes several): all its offsets have a place in one query, when it is counted."""


@dataclass(frozen=True)
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

    @cached_property
    def records(self) -> int:
        """How many records wait with it, at least one: a tick has to wait in its lane, too."""
        return max(1, len(self.intake.rows) + len(self.intake.letters))

    @cached_property
    def size_bytes(self) -> int:
        """How many bytes of values wait with it."""
        rows, letters = self.intake.rows, self.intake.letters
        of_rows = sum(len(row.value) + len(row.sent or b"") for row in rows)
        return of_rows + sum(len(letter.value or b"") for letter in letters)

    @property
    def taken(self) -> OffsetRange:
        """The end of what was taken of the lane: all before it is in this batch or in one that is stored."""
        last = self.next_offset - 1
        return OffsetRange(self.lane.partition.partition, last, last)


class Storing:
    """Stores the batches of one raw topic. ``read_again`` takes the records of a pending insert once more.

    ``decode`` tells whether the decoder of the stage takes a payload.
    """

    def __init__(
        self,
        wiring: Wiring,
        topic: TopicSpec,
        lanes: Lanes[Any],
        sink: RawSink,
        checkpoints: Checkpoints,
        read_again: Callable[[PendingInsert, Wanted], Awaitable[Sequence[Intake]]],
        decode: Decode,
    ) -> None:
        self._wiring = wiring
        self._topic = topic
        self._lanes = lanes
        self._read_again = read_again
        self._sink = sink
        probe = Probe(topic.name, SIGNALS[topic.name], sink, decode)
        self._landing = Landing(topic.name, sink, checkpoints, self._divert, self._rows_again, self._ends, probe.passes)
        self._diversion = Diverting(topic.name, DiversionLimits.from_settings(wiring.settings), probe)
        self._diverted: set[tuple[int, int]] = set()
        self._accounts = Accounts(wiring.stores.clickhouse)
        settings = wiring.settings
        self._waiting: Collecting[Decoded] = Collecting(
            Room(MOST_RECORDS, settings.insert_bytes, settings.insert_wait_s), self._prepare
        )
        self._storing: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    async def store(self, batch: Sequence[Decoded]) -> None:
        """Leave a batch to be stored with others. Waits while there is no room for it.

        Raises what has ended the storing of an earlier one.
        """
        if self._failure is not None:
            raise self._failure
        await self._waiting.put(batch)
        if self._failure is not None:  # while it was held back
            raise self._failure
        if self._storing is None or self._storing.done():
            self._storing = self._wiring.app.add_future(self._store_waiting())

    def forget(self) -> None:
        """Forget what is not written yet, at a rebalance: it is read again."""
        self._accounts.clear()

    async def _store_waiting(self) -> None:
        """Store what waits, until nothing does."""
        try:
            while await self._waiting.due():
                await self._store_all([each for each in self._waiting.take() if self._lanes.is_current(each.lane)])
        except Exception as error:
            self._failure = error
            self._wiring.app.fail(self._lanes.stage, error)

    async def _store_all(self, batch: Sequence[Decoded]) -> None:
        if not batch:
            return
        with suppress(LaneEndedError):  # all lanes end together, with their generation
            await self._land(batch)
            await self._diversion.judge(list(self._refusals(batch)), self._lanes.wanted(batch[0].lane))
            self._diverted.clear()
            for decoded in batch:
                self._accounts.take(decoded.intake.ledger, decoded.next_offset)
                await self._accounts.write(self._lanes.wanted(decoded.lane))
                await self._settle(decoded)

    async def _land(self, batch: Sequence[Decoded]) -> None:
        """Land the rows of all lanes, with one insert if it can hold them, then send what speaks of them."""
        lane = batch[0].lane
        wanted = self._lanes.wanted(lane)
        starts = {decoded.lane.partition.partition: decoded.lane.first_offset for decoded in batch}
        await self._landing.own(lane.generation, starts, wanted)
        rows = [row for decoded in batch for row in decoded.intake.rows]
        for run in runs_of(rows, self._wiring.settings.insert_bytes):
            began_s = time.monotonic()
            await self._landing.land(run, time.time_ns(), wanted)
            self._waiting.took(began_s)
        await self._send_letters([letter for decoded in batch for letter in decoded.intake.letters], wanted)
        lettered = {each.lane.partition: each.taken for each in batch if each.intake.letters}
        await self._landing.pass_over(list(lettered.values()), wanted)
        for decoded in batch:
            await self._wiring.send(self._lanes, decoded.lane, decoded.late)

    def _prepare(self, batch: Sequence[Decoded]) -> None:
        """Let the next insert be made ready while the one before is stored: both take about as long."""
        rows = [row for decoded in batch if self._lanes.is_current(decoded.lane) for row in decoded.intake.rows]
        for run in islice(runs_of(rows, self._wiring.settings.insert_bytes), 1):
            self._sink.prepare(self._topic.name, run)

    def _refusals(self, batch: Sequence[Decoded]) -> Iterator[tuple[str, bool]]:
        """Say of each record of a stored batch whose it is, and whether the decoder or ClickHouse refused it."""
        for decoded in batch:
            partition = decoded.lane.partition.partition
            for offset, tenant, is_refused in decoded.intake.refusals:
                yield tenant, is_refused or (partition, offset) in self._diverted

    async def _send_letters(self, letters: list[Message], wanted: Wanted) -> None:
        if not letters:
            return
        reached(Failpoint.LETTERS_BEFORE)
        await insist("kafka", "send", lambda: self._wiring.producer.send_many(letters), wanted)
        reached(Failpoint.LETTERS_AFTER)

    async def _divert(self, row: RawRow, letter: Message, wanted: Wanted) -> None:
        """Keep a row that ClickHouse refuses."""
        self._accounts.refused(TP(self._topic.name, row.partition), row.tenant, row.offset)
        self._diverted.add((row.partition, row.offset))
        await self._send_letters([letter], wanted)

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


def runs_of(rows: Sequence[RawRow], most_bytes: int) -> Iterator[Sequence[RawRow]]:
    """Cut rows into inserts: a single batch may hold more than one insert may, above all once it is unpacked.

    What items share is unfolded with all messages of an insert at once: together they have no more than one may.
    """
    first = size_bytes = repeated_bytes = 0
    for end, row in enumerate(rows):
        full = end - first == MOST_RECORDS or size_bytes >= most_bytes
        if first < end and (full or repeated_bytes + row.repeated_bytes > MOST_REPEATED_BYTES):
            yield rows[first:end]
            first, size_bytes, repeated_bytes = end, 0, 0
        size_bytes += len(row.value)
        repeated_bytes += row.repeated_bytes
    if first < len(rows):
        yield rows[first:]
