"""Pairing client and server spans into edges.

::

    telemetry.stubs ─▶ take ─┬─ Progress ──▶ EdgeFold.step_progress ─┐
     (by trace)              └─ StubBlock ─▶ EdgeFold.step ──────────┴─▶ flush ─▶ telemetry.rollups
                                                                     partials keyed by the server's service,
                                                                     then Progress, pair_wait_s behind
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from faust.types import TP

from schemas.errors import BadPayload
from schemas.keys import PROGRESS_KEY
from schemas.topics import ROLLUPS, STUBS, TRACES, sources
from sinks.kafka.producer import Message
from streams.edges import EdgeFold
from streams.progress import Progress
from streams.stubs import decode_stubs
from topologies import metrics
from topologies.app import add_stage
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError
from topologies.progressing import INNER_PACE_S, Broadcast, FloorKeeper, Pacer
from topologies.source_folds import partial_message
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

STAGE = "edges"
BATCH = 64
WITHIN_S = 0.1


class EdgeLane:
    """The edge fold of one partition and what surrounds it."""

    def __init__(self, wiring: Wiring, partition: TP) -> None:
        partitions = wiring.settings.partitions
        source = f"{partition.topic}/{partition.partition}"
        self.fold = EdgeFold(source, sources(TRACES, partitions), wiring.windows, wiring.closed.load(partition))
        self.broadcast = Broadcast(ROLLUPS, range(partitions))
        self.flush_due = Pacer(INNER_PACE_S)
        self.keeper = FloorKeeper(wiring.closed, partition)

    def take(self, records: Sequence[Record]) -> None:
        """Fold a batch. Our own records: one that cannot be read is a loss to be seen, not to die of."""
        for record in records:
            try:
                if record.key == PROGRESS_KEY:
                    self.fold.step_progress(Progress.decode(record.value or b""), record.offset)
                else:
                    self.fold.step(decode_stubs(record.value or b""), record.offset)
            except BadPayload as error:
                metrics.DEAD_LETTERS.labels("", error.reason).inc()
                log.error("stub_unreadable", offset=record.offset, detail=error.detail)

    def flush(self) -> tuple[list[Message], list[Message]]:
        """Return what is new: partials, and the progress that must follow them."""
        partials = self.fold.flush()
        metrics.PARTIALS.labels(STAGE).inc(len(partials))
        count_losses(self.fold.drain_losses())
        return [partial_message(partial) for partial in partials], self.broadcast.messages(self.fold.progress())


class Edges:
    """The edges stage."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        app = wiring.app
        self._lanes: Lanes[EdgeLane] = Lanes(
            STAGE,
            [STUBS.name],
            app.floors,
            app.generation,
            lambda partition: EdgeLane(wiring, partition),
            app.committed,
        )
        app.forget.append(self._lanes.clear)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        return add_stage(
            self._wiring.app, STAGE, [STUBS.name], self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel
        )

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of stub blocks and progress."""
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                await asyncio.to_thread(lane.state.take, records)
                await self._settle(lane)

    async def _settle(self, lane: Lane[EdgeLane]) -> None:
        state = lane.state
        if state.flush_due.due():
            partials, progress = await asyncio.to_thread(state.flush)
            await self._wiring.send(self._lanes, lane, partials)
            await self._wiring.send(self._lanes, lane, progress)
        await state.keeper.settle(self._lanes, lane, state.fold.lowest_needed_offset(), state.fold.closed())
