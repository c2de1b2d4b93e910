"""Raw OTLP into the store and into partial windows.

::

    otel.traces ─┐                  ┌──▶ ClickHouse raw tables (awaited)
    otel.metrics ├─▶ take ─▶ decode ┼──▶ dead-letters (awaited)
    otel.logs  ──┘     per partition├──▶ PaneFold ──▶ telemetry.rollups   partials, then Progress to all partitions
                                    └──▶ StubFold ──▶ telemetry.stubs     traces only; likewise

One agent a topic. Partials and stubs are flushed at most every ``flush_interval_s``, and progress follows them; the
raw insert and the dead letters of a batch are confirmed before the next batch is taken. Metrics are only
landed: nothing of them is in a window, so they have no progress.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from schemas.failpoints import Failpoint
from schemas.topics import METRICS, TopicSpec
from topologies import metrics
from topologies.accounting import Accounts, lowest
from topologies.app import add_stage
from topologies.diverting import Diverting
from topologies.failpoints import reached
from topologies.landing import Landing
from topologies.lanes import Lane, Lanes, Record
from topologies.patience import LaneEndedError
from topologies.replays import Replays, find_replays
from topologies.source_folds import SIGNALS, Intake, SourceFolds, decoder_of
from topologies.ticks import Ticker
from topologies.wiring import Wiring

BATCH = 256
"""Records a batch may have. An insert costs ClickHouse 0.1-0.3 s on two cores, however small it is, so a batch is
waited for as long as windows are flushed anyway (``flush_interval_s``; twice that for metrics), unless it is full."""


class Ingest:
    """The ingest stage of one raw topic."""

    def __init__(self, wiring: Wiring, topic: TopicSpec, landing: Landing, ticker: Ticker) -> None:
        self._wiring = wiring
        self._landing = landing
        self._ticker = ticker
        self._topic = topic
        self._diversion = Diverting(wiring, topic)
        self._accounts = Accounts(wiring.stores.clickhouse)
        app = wiring.app
        decoder = decoder_of(SIGNALS[topic.name], wiring.settings)
        self._lanes: Lanes[SourceFolds] = Lanes(
            f"ingest.{SIGNALS[topic.name]}",
            [topic.name],
            app.floors,
            app.generation,
            lambda partition: SourceFolds(wiring, partition, decoder),
            app.committed,
        )
        app.forget += [self._lanes.clear, self._accounts.clear]

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        app, topics = self._wiring.app, [self._topic.name]
        within_s = self._wiring.settings.flush_interval_s * (1 if self._topic is not METRICS else 2)
        return add_stage(app, self._lanes.stage, topics, self.handle, batch=BATCH, within_s=within_s, channel=channel)

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch: everything of it is stored and on its way when this returns.

        Windows go first: they are what somebody waits for, and the insert takes longer.
        """
        batches = self._lanes.split(events)
        reached(Failpoint.TAKEN)
        with suppress(LaneEndedError):  # all lanes end together, with their generation
            intakes = [
                (lane, await asyncio.to_thread(lane.state.take, records, self._wiring.settings, replays))
                for lane, records, replays in await self._with_replays(batches)
            ]
            reached(Failpoint.DECODED)
            for lane, _ in intakes:
                await self._flush(lane)
            late = [(lane, lane.state.drain_late()) for lane, _ in intakes]
            await self._store(intakes)
            for lane, notices in late:  # once what they speak of can be read
                await self._wiring.send(self._lanes, lane, notices)
            await self._diversion.judge([refusal for _, intake in intakes for refusal in intake.refusals])
            for lane, intake in intakes:
                self._ticker.heard(lane.partition)
                self._accounts.take(intake.ledger, lane.next_offset)
                await self._accounts.write(self._lanes.wanted(lane))
                await self._settle(lane)

    async def _with_replays(
        self, batches: Sequence[tuple[Lane[SourceFolds], list[Record]]]
    ) -> list[tuple[Lane[SourceFolds], list[Record], Replays]]:
        pool, settings = self._wiring.stores.postgres, self._wiring.settings
        return [
            (lane, records, await find_replays(pool, settings, lane.partition, records, self._lanes.wanted(lane)))
            for lane, records in batches
        ]

    async def _flush(self, lane: Lane[SourceFolds]) -> None:
        """Send what is new in the windows when that is due, then the progress it allows."""
        folds = lane.state
        if folds.panes is None or not folds.flush_due.due():
            return
        progress = folds.clock.progress()
        messages = await asyncio.to_thread(folds.flush)
        reached(Failpoint.WINDOWS_BEFORE)
        await self._wiring.send(self._lanes, lane, messages)
        reached(Failpoint.WINDOWS_AFTER)
        news = [message for broadcast in folds.broadcasts for message in broadcast.messages(progress)]
        await self._wiring.send(self._lanes, lane, news)
        reached(Failpoint.PROGRESS_AFTER)
        delay_s = (time.time_ns() - progress.wall_ns) / 1e9
        metrics.PROGRESS_DELAY.labels(*map(str, lane.partition)).set(delay_s)

    async def _store(self, intakes: Sequence[tuple[Lane[SourceFolds], Intake]]) -> None:
        """Land the raw rows of all lanes with one insert, and keep what cannot be used."""
        rows = [row for _, intake in intakes for row in intake.rows]
        letters = [letter for _, intake in intakes for letter in intake.letters]
        for lane, _ in intakes[:1]:
            refused = await self._landing.land(self._topic.name, rows, self._lanes.wanted(lane))
            self._accounts.refused(refused)
            letters += refused
            if letters:
                reached(Failpoint.LETTERS_BEFORE)
                await self._wiring.send(self._lanes, lane, letters)
                reached(Failpoint.LETTERS_AFTER)

    async def _settle(self, lane: Lane[SourceFolds]) -> None:
        folds = lane.state
        needed = lowest(folds.needed(), self._accounts.needed(lane.partition))
        if folds.panes is None:
            self._lanes.report(lane, needed)
        else:
            await folds.keeper.settle(self._lanes, lane, needed, folds.panes.closed())
