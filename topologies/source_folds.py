"""What ingest keeps for each source partition, and what it makes of a batch of records.

::

    records ─▶ open ─▶ decode all of a tenant at once ─┬─▶ PaneFold, StubFold     (replays: measured again, later)
      │ │       │                                      ├─▶ PointFold              metrics
      │ │       │                                      ├─▶ letters for items that cannot be used
      │ │       └─ letter                              └─▶ rows to land, in the order of the records
      │ └─ tick: time alone
      └─ repeated replay: passed over, noted
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import structlog
from faust.types import TP

from schemas.dead_letters import UNKNOWN_TENANT
from schemas.errors import BadPayload, RejectReason
from schemas.keys import service_key, tenant_key
from schemas.reconciling import Outcome
from schemas.settings import Settings
from schemas.topics import LATE, LOGS, METRICS, POINTS, ROLLUPS, STUBS, TRACES
from sinks.clickhouse.landing import RawRow
from sinks.kafka.producer import Message
from sinks.kafka.unpacking import RefusedBatch
from streams.batch import Messages
from streams.contents import SEVERITIES
from streams.late import LateLedger
from streams.otlp import Reject, Signal, decode_logs, decode_metrics, open_payload
from streams.otlp.cutting import cut_items
from streams.otlp.decoding import Decoded, Decoder, OneByOne
from streams.otlp.repeating import check_repeated, repeated_bytes
from streams.otlp.walker import SpanDecoder
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.points.readings import PointFold
from streams.progress import Progress, SourceClock
from streams.stubs import StubFold
from topologies import metrics
from topologies.accounting import Ledger
from topologies.dead_letters import Origin, item_letters, message_letter
from topologies.envelope import Envelope, read_envelope, tenant_of
from topologies.parcels import Record
from topologies.progressing import Broadcast, FloorKeeper, Pacer
from topologies.replays import Replays
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

SIGNALS = {TRACES.name: Signal.TRACES, METRICS.name: Signal.METRICS, LOGS.name: Signal.LOGS}


@dataclass(slots=True)
class Intake:
    """What a batch of one lane came to, beside what its folds took."""

    ledger: Ledger
    rows: list[RawRow] = field(default_factory=list)
    letters: list[Message] = field(default_factory=list)
    refusals: list[tuple[int, str, bool]] = field(default_factory=list)
    """Of each record its offset, its tenant, and whether nothing of it could be used."""


@dataclass(slots=True)
class _Opened:
    """A record that is not passed over, and what became of it so far."""

    origin: Origin
    record: Record
    wall_ns: int
    sent_ns: int
    """When it arrived, also when that is in the future or untold: rows are taken back to the clock of their insert."""
    payload: bytes
    repeated_bytes: int = 0
    refusal: BadPayload | None = None
    has_items: bool = False
    letters: list[Message] = field(default_factory=list)
    """For its items that cannot be used."""


class SourceFolds:
    """The folds of one source partition; those that its signal has no use for are None.

    What holds for its floor, `needed` and `closed` (its checkpoint):

    - Below `needed` lies nothing of an open pane, no stub or point that was not sent, and no record whose time was not
      told.
    - `closed` is what the last flush told. It is kept before the floor rises, so every time told below the floor is in
      it, and all that it speaks of was sent: the clock of the next fold may start with it, and tells it again.
    """

    def __init__(self, wiring: Wiring, partition: TP, decoder: Decoder[Any]) -> None:
        partitions = wiring.settings.partitions
        source = f"{partition.topic}/{partition.partition}"
        self.partition = partition
        self.signal = SIGNALS[partition.topic]
        self._decoder = decoder
        closed = wiring.closed.load(partition)
        self.clock = SourceClock(source, closed)
        self._told_wall_ns = self.clock.driven_wall_ns()
        self._untold_offset: int | None = None
        has_panes, has_stubs = self.signal is not Signal.METRICS, self.signal is Signal.TRACES
        self.panes = PaneFold(source, wiring.windows, closed) if has_panes else None
        self.stubs = StubFold(source, partitions, wiring.windows) if has_stubs else None
        self.points = None if has_panes else PointFold(wiring.windows)
        self._told = self.clock.progress()
        self.broadcasts = [Broadcast(ROLLUPS if has_panes else POINTS, range(partitions))]
        if has_stubs:
            self.broadcasts.append(Broadcast(STUBS, range(partitions)))
        self.windows = wiring.windows
        self.replayed = LateLedger()
        self.flush_due = Pacer(wiring.settings.flush_interval_s)
        self.keeper = FloorKeeper(wiring.closed, partition)

    def take(self, records: Sequence[Record], settings: Settings, present_ns: int, replays: Replays) -> Intake:
        """Decode and fold a batch. Blocks for its length: call it in a thread.

        With the same ``present_ns`` and ``replays``, the same records give the same rows.
        """
        intake = Intake(Ledger(self.partition))
        if self._untold_offset is None and records:
            self._untold_offset = records[0].offset
        envelopes = {headers: read_envelope(headers) for headers in {record.headers for record in records}}
        opened: list[_Opened] = []
        for record in records:
            wall_ns = self._arrival_ns(record, present_ns)
            one = self._open(record, envelopes[record.headers], wall_ns, settings, replays, intake)
            if one is not None:
                opened.append(one)
        together: dict[str, list[_Opened]] = {}
        for one in opened:
            if one.refusal is not None:
                continue
            if one.origin.replay is None:
                together.setdefault(one.origin.tenant, []).append(one)
            else:
                self._take_replay(one, intake)
        for tenant, ones in together.items():
            self._take_together(tenant, ones, intake)
        for one in opened:
            self._conclude(one, intake)
        return intake

    def _open(
        self,
        record: Record,
        envelope: Envelope,
        wall_ns: int,
        settings: Settings,
        replays: Replays,
        intake: Intake,
    ) -> _Opened | None:
        """Return the record, refused or to be decoded; a tick and a replay that was there before are only noted."""
        unreadable = record.value if isinstance(record.value, RefusedBatch) else None
        tenant, replay = None if unreadable is not None else tenant_of(envelope, settings), replays.get(record.offset)
        if replay is None and record.offset in replays:
            intake.ledger.note(tenant or UNKNOWN_TENANT, Outcome.REPEATED, record.offset, wall_ns)
            return None
        self.clock.observe(wall_ns, envelope.tenant, envelope.driven_ns)
        if envelope.is_tick and not record.value:
            intake.ledger.note("", Outcome.EMPTY, record.offset, wall_ns)
            return None
        arrival_ns, is_driven = envelope.driven_ns or wall_ns, envelope.driven_ns is not None
        sent_ns = envelope.driven_ns or record.timestamp_ns
        if replay is not None:
            arrival_ns, sent_ns = min(arrival_ns, replay.arrival_ns), min(sent_ns, replay.arrival_ns)
        origin = Origin(*self.partition, record.offset, tenant or UNKNOWN_TENANT, arrival_ns, is_driven, replay)
        one = _Opened(origin, record, wall_ns, sent_ns, b"")
        try:
            if unreadable is not None:
                raise unreadable.refusal
            if tenant is None:
                raise BadPayload(RejectReason.BAD_TENANT, "header x-tenant-id is missing or not a tenant id")
            one.payload = open_payload(record.value, self.signal, settings.max_unpacked_bytes)
            if replay is not None and replay.items:
                one.payload = cut_items(self.signal, one.payload, replay.items)
            if self.signal is not Signal.TRACES:  # the decoder of spans counts on its way
                one.repeated_bytes = repeated_bytes(self.signal, one.payload)
                check_repeated(one.repeated_bytes)
        except BadPayload as error:
            one.refusal = error
        return one

    def _arrival_ns(self, record: Record, present_ns: int) -> int:
        """Return the record's time, but not the future: one producer's clock must not close everybody's panes.

        Nor none at all, which counts as the future (`sinks.kafka.arrivals`).
        """
        if record.timestamp_ns <= present_ns:
            return record.timestamp_ns
        metrics.CLAMPED_ARRIVALS.labels(self.partition.topic).inc()
        return present_ns

    def _take_together(self, tenant: str, ones: Sequence[_Opened], intake: Intake) -> None:
        """Decode and fold the records of one tenant."""
        for decoded in self._decode(ones, intake):
            if decoded.columns is None:
                continue
            origins = [ones[number].origin for number in decoded.messages]
            if self.points is not None:  # metrics are decoded one message at a time
                self.points.take(tenant, decoded.columns.resources, origins[0].arrival_ns, origins[0].driven)
                continue
            driven = any(origin.driven for origin in origins)
            messages = Messages(
                decoded.sizes, [origin.arrival_ns for origin in origins], [origin.offset for origin in origins]
            )
            if self.panes is not None:
                step = self.panes.take_logs if self.signal is Signal.LOGS else self.panes.take_spans
                step(tenant, decoded.columns, messages, driven)
            if self.stubs is not None:
                self.stubs.take(tenant, decoded.columns, messages, driven)

    def _take_replay(self, one: _Opened, intake: Intake) -> None:
        """Decode a replay. Its panes have been told, or will be: they are measured again."""
        origin = one.origin
        for decoded in self._decode([one], intake):
            if decoded.columns is not None and self.signal is not Signal.METRICS:
                columns = decoded.columns
                self.replayed.add_all(origin.tenant, origin.driven, columns, origin.arrival_ns, self.windows)

    def _decode(self, ones: Sequence[_Opened], intake: Intake) -> Iterator[Decoded[Any]]:
        """Decode records of one tenant, count what is in them and keep what cannot be used."""
        label = metrics.tenant_label(ones[0].origin.tenant)
        for decoded in _decode(self._decoder, self.signal, [one.payload for one in ones]):
            metrics.ITEMS.labels(label, self.signal).inc(sum(decoded.sizes))
            for number, refusal in decoded.refused:
                ones[number].refusal = refusal
            for number in decoded.messages:
                ones[number].has_items = True
            for number, repeated in decoded.repeated:
                ones[number].repeated_bytes = repeated
            self._note_newest(decoded, ones, intake)
            self._keep_rejects(decoded, ones, label)
            yield decoded

    def _note_newest(self, decoded: Decoded[Any], ones: Sequence[_Opened], intake: Intake) -> None:
        """Note how new the newest item of each message is; times of metrics are not decoded."""
        if decoded.columns is None or self.signal is Signal.METRICS:
            return
        event_ns = decoded.columns.time_ns if self.signal is Signal.LOGS else decoded.columns.end_ns
        newest_ns = np.maximum.reduceat(event_ns, np.cumsum([0, *decoded.sizes[:-1]]))
        arrivals_ns = np.array([ones[number].origin.arrival_ns for number in decoded.messages])
        timed = newest_ns != 0
        if timed.any():
            newest_event_ns = int(np.minimum(newest_ns, arrivals_ns)[timed].max())
            intake.ledger.event(ones[0].origin.tenant, newest_event_ns, int(arrivals_ns[timed].max()))

    def _keep_rejects(self, decoded: Decoded[Any], ones: Sequence[_Opened], label: str) -> None:
        by_message: dict[int, list[Reject]] = {}
        for number, reject in decoded.rejects:
            metrics.REJECTS.labels(label, reject.reason).inc()
            by_message.setdefault(number, []).append(reject)
        for number, rejects in by_message.items():
            one = ones[number]
            one.letters += item_letters(one.origin, self.signal, one.payload, rejects)

    def _conclude(self, one: _Opened, intake: Intake) -> None:
        """Note what became of a record: a row to land, a letter, or nothing in it."""
        origin, offset = one.origin, one.record.offset
        if one.refusal is not None:
            metrics.DEAD_LETTERS.labels(metrics.tenant_label(origin.tenant), one.refusal.reason).inc()
            intake.letters.append(message_letter(origin, one.record.value, one.refusal))
            intake.refusals.append((offset, origin.tenant, True))
            intake.ledger.note(origin.tenant, Outcome.REFUSED, offset, one.wall_ns)
            return
        intake.letters += one.letters
        intake.refusals.append((offset, origin.tenant, bool(one.letters) and not one.has_items))
        if not one.payload:
            intake.ledger.note(origin.tenant, Outcome.EMPTY, offset, one.wall_ns)
        else:
            place = (self.partition.partition, offset)
            sent = one.record.value if one.payload is not one.record.value else None
            shared = one.repeated_bytes
            row = RawRow(origin.tenant, *place, one.payload, one.sent_ns, origin.driven, shared, sent, origin.replay)
            intake.rows.append(row)

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
        if self.points is not None:
            messages += [Message(POINTS.name, value, tenant_key(tenant)) for tenant, value in self.points.flush()]
            count_losses(self.points.drain_losses())
        self._told, self._told_wall_ns, self._untold_offset = self.clock.progress(), self.clock.driven_wall_ns(), None
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
        """Return the smallest offset that an open pane, an unsent stub or an untold time still needs."""
        folds = [fold for fold in (self.panes, self.stubs) if fold is not None]
        floors = [*(fold.lowest_needed_offset() for fold in folds), self._untold_offset]
        return min((floor for floor in floors if floor is not None), default=None)

    def closed(self) -> Progress:
        """Return what the last flush closed (of metrics: no pane) and told. See `needed`."""
        closed = self._told if self.panes is None else self.panes.closed()
        return replace(closed, driven_wall_ns=self._told_wall_ns)


def decoder_of(signal: Signal, settings: Settings) -> Decoder[Any]:
    """Return a decoder for a stage's signal."""
    if signal is Signal.TRACES:
        return SpanDecoder()
    if signal is Signal.LOGS:
        return OneByOne(partial(decode_logs, signed_from=SEVERITIES.index(settings.signature_severity)))
    return OneByOne(decode_metrics)


def takes_all(decoder: Decoder[Any], signal: Signal, payload: bytes) -> bool:
    """Tell whether a payload can be opened and decoded, and no item of it is refused."""
    try:
        opened = open_payload(payload, signal)
    except BadPayload:
        return False
    decoded = _decode(decoder, signal, [opened])
    return any(one.messages for one in decoded) and not any(one.refused or one.rejects for one in decoded)


def _decode(decoder: Decoder[Any], signal: Signal, payloads: Sequence[bytes]) -> list[Decoded[Any]]:
    """Decode messages, come what may: the decoders promise to raise nothing, and if one does, the worker goes on."""
    try:
        return list(decoder.decode(payloads))
    except Exception as error:
        log.exception("decoder_bug", signal=signal)
        if len(payloads) > 1:
            return [
                _renumbered(one, n) for n, payload in enumerate(payloads) for one in _decode(decoder, signal, [payload])
            ]
        return [Decoded(refused=[(0, BadPayload(RejectReason.DECODE, f"decoder bug: {type(error).__name__}"))])]


def _renumbered(decoded: Decoded[Any], number: int) -> Decoded[Any]:
    """Return what one message came to, which is called ``number`` among others."""
    return Decoded(
        decoded.columns,
        [number for _ in decoded.messages],
        decoded.sizes,
        [(number, reject) for _, reject in decoded.rejects],
        [(number, refusal) for _, refusal in decoded.refused],
        [(number, repeated) for _, repeated in decoded.repeated],
    )


def partial_message(partial: ServicePartial) -> Message:
    """Return a partial as the record of ``telemetry.rollups``."""
    return Message(ROLLUPS.name, partial.encode(), service_key(partial.tenant, partial.service))
