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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from faust.types import TP

from schemas.dead_letters import UNKNOWN_TENANT, Replay
from schemas.errors import BadPayload, RejectReason
from schemas.failpoints import Failpoint
from schemas.keys import service_key, tenant_key
from schemas.reconciling import Outcome
from schemas.settings import Settings
from schemas.topics import LATE, LOGS, METRICS, ROLLUPS, STUBS, TRACES, TopicSpec
from sinks.clickhouse.landing import RawRow
from sinks.kafka.producer import Message
from streams.late import LateLedger
from streams.otlp import LogColumns, MetricCounts, Signal, decode_logs, decode_metrics, decode_spans, open_payload
from streams.otlp.cutting import cut_items
from streams.panes import PaneFold
from streams.partials import SEVERITIES, ServicePartial
from streams.progress import SourceClock
from streams.stubs import StubFold
from topologies import metrics
from topologies.accounting import Accounts, Ledger, lowest
from topologies.app import add_stage
from topologies.dead_letters import Origin, item_letters, message_letter
from topologies.diverting import Diverting
from topologies.envelope import read_envelope, tenant_of
from topologies.failpoints import reached
from topologies.landing import Landing
from topologies.lanes import Lane, Lanes, Record
from topologies.patience import LaneEndedError
from topologies.progressing import Broadcast, FloorKeeper, Pacer
from topologies.replays import Replays, find_replays
from topologies.ticks import Ticker
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

BATCH = 256
"""Records a batch may have. An insert costs ClickHouse 0.1-0.3 s on two cores, however small it is, so a batch is
waited for as long as windows are flushed anyway (``flush_interval_s``; twice that for metrics), unless it is full."""

SIGNALS = {TRACES.name: Signal.TRACES, METRICS.name: Signal.METRICS, LOGS.name: Signal.LOGS}


@dataclass(slots=True)
class Intake:
    """What a batch of one lane came to, beside what its folds took."""

    ledger: Ledger
    rows: list[RawRow] = field(default_factory=list)
    letters: list[Message] = field(default_factory=list)
    refusals: list[tuple[str, bool]] = field(default_factory=list)
    """Of each record its tenant, and whether nothing of it could be used."""


class SourceFolds:
    """The folds of one source partition. ``panes`` and ``stubs`` are None for signals without windows."""

    def __init__(self, wiring: Wiring, partition: TP) -> None:
        partitions = wiring.settings.partitions
        source = f"{partition.topic}/{partition.partition}"
        self.partition = partition
        self.signal = SIGNALS[partition.topic]
        self._decoder = _decoders(wiring.settings)[self.signal]
        self.clock = SourceClock(source)
        closed = wiring.closed.load(partition)
        has_panes, has_stubs = self.signal is not Signal.METRICS, self.signal is Signal.TRACES
        self.panes = PaneFold(source, wiring.windows, closed) if has_panes else None
        self.stubs = StubFold(source, partitions, wiring.windows) if has_stubs else None
        self.broadcasts = [Broadcast(ROLLUPS, range(partitions))] if has_panes else []
        if has_stubs:
            self.broadcasts.append(Broadcast(STUBS, range(partitions)))
        self.windows = wiring.windows
        self.replayed = LateLedger()
        self.flush_due = Pacer(wiring.settings.flush_interval_s)
        self.keeper = FloorKeeper(wiring.closed, partition)

    def take(self, records: Sequence[Record], settings: Settings, replays: Replays) -> Intake:
        """Decode and fold a batch. Blocks for its length: call it in a thread."""
        intake = Intake(Ledger(self.partition))
        for record in records:
            replay = replays.get(record.offset)
            if replay is not None or record.offset not in replays:
                self._take_one(record, settings, replay, intake)
            else:
                tenant = tenant_of(read_envelope(record.headers), settings) or UNKNOWN_TENANT
                intake.ledger.note(tenant, Outcome.REPEATED, record.offset, record.timestamp_ns)
        return intake

    def _take_one(self, record: Record, settings: Settings, replay: Replay | None, intake: Intake) -> None:
        envelope = read_envelope(record.headers)
        wall_ns = self._arrival_ns(record)
        self.clock.observe(wall_ns, envelope.tenant, envelope.driven_ns)
        if envelope.is_tick:
            intake.ledger.note("", Outcome.EMPTY, record.offset, wall_ns)
            return
        tenant = tenant_of(envelope, settings)
        arrival_ns = envelope.driven_ns or wall_ns
        if replay is not None:
            arrival_ns = min(arrival_ns, replay.arrival_ns)
        is_driven = envelope.driven_ns is not None
        origin = Origin(*self.partition, record.offset, tenant or UNKNOWN_TENANT, arrival_ns, is_driven, replay)
        try:
            if tenant is None:
                raise BadPayload(RejectReason.BAD_TENANT, "header x-tenant-id is missing or not a tenant id")
            payload = self._open(record, settings, replay)
            is_refused = self._fold(origin, payload, intake)
        except BadPayload as error:
            metrics.DEAD_LETTERS.labels(metrics.tenant_label(origin.tenant), error.reason).inc()
            intake.letters.append(message_letter(origin, record.value, error))
            intake.refusals.append((origin.tenant, True))
            intake.ledger.note(origin.tenant, Outcome.REFUSED, record.offset, wall_ns)
            return
        intake.refusals.append((tenant, is_refused))
        if not payload:
            intake.ledger.note(tenant, Outcome.EMPTY, record.offset, wall_ns)
        else:
            intake.rows.append(RawRow(tenant, self.partition.partition, record.offset, payload, arrival_ns))

    def _open(self, record: Record, settings: Settings, replay: Replay | None) -> bytes:
        payload = open_payload(record.value, self.signal, settings.max_unpacked_bytes)
        return cut_items(self.signal, payload, replay.items) if replay is not None and replay.items else payload

    def _arrival_ns(self, record: Record) -> int:
        """Return the record's time, but not the future: one producer's clock must not close everybody's panes."""
        present_ns = time.time_ns()
        if record.timestamp_ns <= present_ns:
            return record.timestamp_ns
        metrics.CLAMPED_ARRIVALS.labels(self.partition.topic).inc()
        return present_ns

    def _fold(self, origin: Origin, payload: bytes, intake: Intake) -> bool:
        """Decode and fold a payload, keep its refused items; return whether that is all of them."""
        label = metrics.tenant_label(origin.tenant)
        columns: Any = _decode(self._decoder, self.signal, payload)
        metrics.ITEMS.labels(label, self.signal).inc(len(columns))
        for reject in columns.rejects:
            metrics.REJECTS.labels(label, reject.reason).inc()
        intake.letters += item_letters(origin, self.signal, payload, columns.rejects)
        newest_ns = _newest_ns(columns)
        if newest_ns:
            intake.ledger.event(origin.tenant, newest_ns, origin.arrival_ns)
        if origin.replay is None:
            self._step(origin, columns)
        elif not isinstance(columns, MetricCounts):  # its panes have been told, or will be: they are measured again
            self.replayed.add_all(origin.tenant, origin.driven, columns, origin.arrival_ns, self.windows)
        return bool(columns.rejects) and not len(columns)

    def _step(self, origin: Origin, columns: Any) -> None:
        where = (origin.arrival_ns, origin.offset, origin.driven)
        if self.signal is Signal.LOGS and self.panes is not None:
            self.panes.step_logs(origin.tenant, columns, *where)
        elif self.signal is Signal.TRACES and self.panes is not None:
            self.panes.step_spans(origin.tenant, columns, *where)
        if self.stubs is not None:
            self.stubs.step(origin.tenant, columns, *where)

    def flush(self) -> list[Message]:
        """Return what is new since the last flush: closed panes' last contents, changed panes, stubs."""
        messages: list[Message] = []
        if self.panes is not None:
            partials = [*self.panes.close_until(self.clock), *self.panes.flush()]
            metrics.PARTIALS.labels("ingest").inc(len(partials))
            messages += [partial_message(one) for one in partials]
            count_losses(self.panes.drain_losses())
        if self.stubs is not None:
            messages += [Message(STUBS.name, s.value, s.key, partition=s.partition) for s in self.stubs.flush()]
            count_losses(self.stubs.drain_losses())
        count_losses(self.clock.drain_losses())
        return messages

    def drain_late(self) -> list[Message]:
        """Return the notices of late items, of records that were taken so far."""
        notices = [*(self.panes.drain_late() if self.panes is not None else ()), *self.replayed.drain()]
        for notice in notices:
            for service, count in notice.services.items():
                metrics.LATE_ITEMS.labels(*metrics.service_labels(notice.tenant, service)).inc(count)
        return [Message(LATE.name, notice.encode(), tenant_key(notice.tenant)) for notice in notices]

    def needed(self) -> int | None:
        """Return the smallest offset that an open pane or an unsent stub still needs."""
        floors = [fold.lowest_needed_offset() for fold in (self.panes, self.stubs) if fold is not None]
        return min((floor for floor in floors if floor is not None), default=None)


def _decoders(settings: Settings) -> dict[Signal, Callable[[bytes], Any]]:
    signed_from = SEVERITIES.index(settings.signature_severity)
    return {
        Signal.TRACES: decode_spans,
        Signal.LOGS: partial(decode_logs, signed_from=signed_from),
        Signal.METRICS: decode_metrics,
    }


def _decode(decoder: Callable[[bytes], Any], signal: Signal, payload: bytes) -> Any:
    try:
        return decoder(payload)
    except BadPayload:
        raise
    except Exception as error:
        # The decoders promise to raise nothing else. If one does, its message must still not stop the worker.
        log.exception("decoder_bug", signal=signal)
        raise BadPayload(RejectReason.DECODE, f"decoder bug: {type(error).__name__}") from error


def _newest_ns(columns: Any) -> int:
    """Return the newest event time of decoded items; 0 for none, and for metrics, whose times are not decoded."""
    if isinstance(columns, MetricCounts) or not len(columns):
        return 0
    return int((columns.time_ns if isinstance(columns, LogColumns) else columns.end_ns).max())


def partial_message(partial: ServicePartial) -> Message:
    """Return a partial as the record of ``telemetry.rollups``."""
    return Message(ROLLUPS.name, partial.encode(), service_key(partial.tenant, partial.service))


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
        self._lanes: Lanes[SourceFolds] = Lanes(
            f"ingest.{SIGNALS[topic.name]}",
            [topic.name],
            app.floors,
            app.generation,
            lambda partition: SourceFolds(wiring, partition),
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
