"""Raw OTLP into the store and into partial windows.

::

    otel.traces ─┐                  ┌──▶ PaneFold ──▶ telemetry.rollups   partials, then Progress to all partitions
    otel.metrics ├─▶ take ─▶ decode ┼──▶ StubFold ──▶ telemetry.stubs     traces only; likewise
    otel.logs  ──┘     per partition├──▶ PointFold ─▶ telemetry.points    metrics only; likewise
                                    └──▶ Storing ──▶ ClickHouse raw tables, dead-letters, floors
                                         (topologies.storing; several batches at once, while the next are taken)

A batch is decoded and folded while what the one before has changed is on its way to the broker. One agent a topic.
Partials, stubs and points are flushed at most every ``flush_interval_s``, less often where that would take too much of
the time (`Share`), and progress follows them. Of metrics a few points go on, for rankings; nothing of them is in a
window, so no window waits for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from faust.types import TP

from schemas.checkpoints import PendingInsert
from schemas.failpoints import Failpoint
from schemas.topics import TopicSpec
from sinks.clickhouse.landing import RawSink
from sinks.kafka.producer import Message
from sinks.kafka.ranges import read_ranges
from sinks.postgres.checkpoints import Checkpoints
from streams.progress import Progress
from topologies import metrics
from topologies.app import add_stage
from topologies.failpoints import reached
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record, record_of
from topologies.patience import LaneEndedError, insist
from topologies.progressing import Share
from topologies.replays import find_replays
from topologies.source_folds import SIGNALS, Intake, SourceFolds, decoder_of, takes_all
from topologies.storing import Decoded, Storing
from topologies.ticks import Ticker
from topologies.wiring import Wiring


@dataclass(frozen=True, slots=True)
class _News:
    """What a flush of a lane brought, what it took, and how far its source had come then."""

    lane: Lane[SourceFolds]
    messages: list[Message]
    cpu_s: float
    progress: Progress


class Ingest:
    """The ingest stage of one raw topic."""

    def __init__(
        self, wiring: Wiring, topic: TopicSpec, sink: RawSink, checkpoints: Checkpoints, ticker: Ticker
    ) -> None:
        self._wiring = wiring
        self._ticker = ticker
        self._topic = topic
        self._telling: asyncio.Task[None] | None = None
        self._share = Share()
        app = wiring.app
        self._decoder = decoder = decoder_of(SIGNALS[topic.name], wiring.settings)
        self._decoding = asyncio.Lock()
        self._lanes: Lanes[SourceFolds] = Lanes(
            f"ingest.{SIGNALS[topic.name]}",
            [topic.name],
            app.floors,
            app.generation,
            lambda partition: SourceFolds(wiring, partition, decoder),
            app.committed,
        )
        self._storing = Storing(wiring, topic, self._lanes, sink, checkpoints, self._read_again, self._is_decoded)
        app.forget += [self._lanes.clear, self._storing.forget]

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app. A batch is waited for as long as windows are flushed anyway."""
        app, topics, settings = self._wiring.app, [self._topic.name], self._wiring.settings
        batch, within_s = settings.batch_records, settings.flush_interval_s
        return add_stage(app, self._lanes.stage, topics, self.handle, batch=batch, within_s=within_s, channel=channel)

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch and fold it; what it changes is told, and the batch stored, while the next one is taken.

        Windows go first: they are what somebody waits for, and the insert takes longer.
        """
        batches = self._lanes.split(events)
        reached(Failpoint.TAKEN)
        present_ns = time.time_ns()
        with suppress(LaneEndedError):  # all lanes end together, with their generation
            intakes = [
                (lane, await self._take(lane.state, records, present_ns, self._lanes.wanted(lane)))
                for lane, records in batches
            ]
            reached(Failpoint.DECODED)
            if self._telling is not None:  # of the batch before: in order, and no more than one
                await self._telling
            news = [await self._flush(lane) for lane, _ in intakes]
            self._share.took([each.cpu_s for each in news if each is not None], sum(1 for _ in self._lanes))
            decoded = [_decoded(lane, intake) for lane, intake in intakes]
            self._telling = asyncio.create_task(self._tell(news, decoded))
            self._wiring.app.add_future(self._telling)  # whose own future would not say that it was cancelled

    async def _tell(self, news: Sequence[_News | None], decoded: Sequence[Decoded]) -> None:
        """Send what is new in the windows, and leave the batch to be stored. One that fails is the last."""
        try:
            with suppress(LaneEndedError):
                for each in news:
                    if each is not None:
                        await self._send(each)
                await self._storing.store(decoded)
        except Exception as error:
            self._wiring.app.fail(self._lanes.stage, error)
            await asyncio.Event().wait()  # until the worker ends: nothing may be told or stored past it

    async def _take(
        self, folds: SourceFolds, records: Sequence[Record], present_ns: int, wanted: Callable[[], bool]
    ) -> Intake:
        settings = self._wiring.settings
        replays = await find_replays(self._wiring.stores.postgres, settings, folds.partition, records, wanted)
        async with self._decoding:  # the decoder of the lanes is one, and a probe uses it as well
            return await asyncio.to_thread(folds.take, records, settings, present_ns, replays)

    async def _is_decoded(self, payload: bytes) -> bool:
        """Tell whether the decoder of the lanes takes all of a payload."""
        async with self._decoding:
            return await asyncio.to_thread(takes_all, self._decoder, SIGNALS[self._topic.name], payload)

    async def _flush(self, lane: Lane[SourceFolds]) -> _News | None:
        """Return what is new in the windows, when that is due."""
        self._ticker.heard(lane.partition, lane.next_offset)
        folds = lane.state
        if not folds.flush_due.due(self._share.pause_s):
            return None
        progress = folds.clock.progress()
        return _News(lane, *await asyncio.to_thread(_timed, folds.flush), progress)

    async def _send(self, news: _News) -> None:
        """Send what is new in the windows, then the progress it allows."""
        lane, progress = news.lane, news.progress
        reached(Failpoint.WINDOWS_BEFORE)
        await self._wiring.send(self._lanes, lane, news.messages)
        reached(Failpoint.WINDOWS_AFTER)
        broadcasts = [message for broadcast in lane.state.broadcasts for message in broadcast.messages(progress)]
        await self._wiring.send(self._lanes, lane, broadcasts)
        reached(Failpoint.PROGRESS_AFTER)
        delay_s = (time.time_ns() - progress.wall_ns) / 1e9
        metrics.PROGRESS_DELAY.labels(*map(str, lane.partition)).set(delay_s)

    async def _read_again(self, insert: PendingInsert, wanted: Callable[[], bool]) -> list[Intake]:
        """Take the records of a pending insert from Kafka once more, also of partitions that are not ours."""
        settings, ranges = self._wiring.settings, insert.ranges
        found = await insist("kafka", "read_again", lambda: read_ranges(settings, insert.topic, ranges), wanted)
        intakes = []
        for each, consumed in zip(ranges, found, strict=True):
            # Both are thrown away: the lanes have their own, and use them meanwhile.
            decoder = decoder_of(SIGNALS[insert.topic], settings)
            folds = SourceFolds(self._wiring, TP(insert.topic, each.partition), decoder)
            records = [record_of(record) for record in consumed]
            intakes.append(await self._take(folds, records, insert.wall_ns, wanted))
        return intakes


def _timed(flush: Callable[[], list[Message]]) -> tuple[list[Message], float]:
    """Return what a flush brings, and the CPU time it took."""
    began_s = time.thread_time()
    return flush(), time.thread_time() - began_s


def _decoded(lane: Lane[SourceFolds], intake: Intake) -> Decoded:
    """Note what the folds need now, when all they have closed is sent: the next batch may close more before it is."""
    folds = lane.state
    return Decoded(lane, intake, lane.next_offset, folds.needed(), folds.keeper, folds.closed(), folds.drain_late())
