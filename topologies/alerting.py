"""Deciding, with a named reason, whether somebody must be told.

::

    incidents.events ─────▶ newest event    ┐ pane by pane, when both clocks have passed it
                                            ├─▶ needs_notifying(…) ──▶ reason, counted ──▶ Alert ──▶ PostgreSQL outbox
    incidents.hypotheses ─▶ newest ranking  ┘
                             alerting table ◀── the open incident and what was last sent about it, confirmed

The alert is in the outbox before the table knows of it; its id is derived, so a crash in between sends nothing
twice. `topologies.dispatching` does the sending.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from faust.types import TP
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import BadPayload
from schemas.incidents import Alert, HypothesisSet, IncidentEvent, NotifyReason
from schemas.keys import PROGRESS_KEY, tenant_key
from schemas.topics import ALERTING_TABLE, DEVIATIONS, HYPOTHESES, INCIDENT_EVENTS
from sinks.postgres.outbox import enqueue
from streams.alerting import AlertConfig, NotifyEntry, build_alert, needs_notifying
from streams.progress import Progress, ProgressClock
from streams.windows import SECOND_NS, WindowConfig
from topologies import metrics
from topologies.app import add_stage
from topologies.desks import CLOSED_STATES, correlation_source
from topologies.dispatching import receivers
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.tables import StateTable, state_table
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

STAGE = "alerting"
BATCH = 64
WITHIN_S = 0.1

ORPHAN_NS = 600 * SECOND_NS


class Told(BaseModel):
    """What is kept of an open incident: its newest event, and what was last sent. ``owner`` is the partition."""

    model_config = ConfigDict(frozen=True)

    owner: int
    event: IncidentEvent
    entry: NotifyEntry | None = None


@dataclass(slots=True)
class Matter:
    """One incident as alerting follows it."""

    event: IncidentEvent | None = None
    entry: NotifyEntry | None = None
    hypotheses: HypothesisSet | None = None
    hypotheses_offset: int = -1
    next_pane_ns: int = 0
    events: list[tuple[int, IncidentEvent]] = field(default_factory=list)
    """(offset, event) that wait for the clock."""
    rankings: list[tuple[int, HypothesisSet]] = field(default_factory=list)

    def walk(self, clock_ns: int, windows: WindowConfig) -> Iterator[int]:
        """Yield the ends (ns) of the panes that the clock has passed, with everything known by then applied."""
        while (pane_ns := self._next(windows)) is not None and windows.published_ns(pane_ns) <= clock_ns:
            end_ns = pane_ns + windows.pane_ns
            self._apply(end_ns)
            self.next_pane_ns = end_ns
            if self.event is not None:
                yield end_ns

    def _next(self, windows: WindowConfig) -> int | None:
        if self.event is not None:
            return self.next_pane_ns
        return min((event.at_ns - windows.pane_ns for _, event in self.events), default=None)

    def _apply(self, end_ns: int) -> None:
        for offset, ranking in [pair for pair in self.rankings if pair[1].as_of_ns <= end_ns]:
            if self.hypotheses is None or ranking.version >= self.hypotheses.version:
                self.hypotheses, self.hypotheses_offset = ranking, offset
        self.rankings = [pair for pair in self.rankings if pair[1].as_of_ns > end_ns]
        for _, event in [pair for pair in self.events if pair[1].at_ns <= end_ns]:
            if self.event is None or event.sequence >= self.event.sequence:
                self.event = event
        self.events = [pair for pair in self.events if pair[1].at_ns > end_ns]

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        return self.event is not None and self.event.state in CLOSED_STATES and not self.events

    def is_orphan(self, clock_ns: int) -> bool:
        """Tell whether only rankings are here and no event will come: those of an incident that is over."""
        newest_ns = max((ranking.as_of_ns for _, ranking in self.rankings), default=0)
        return self.event is None and not self.events and newest_ns < clock_ns - ORPHAN_NS


class Desk:
    """The incidents of one partition number, in one generation."""

    def __init__(self, wiring: Wiring, table: StateTable, number: int) -> None:
        self.number = number
        self.clock = ProgressClock([f"{DEVIATIONS.name}/{number}", correlation_source(number)])
        self.matters: dict[tuple[str, str], Matter] = {}
        for value in list(table.values()):
            told = Told.model_validate_json(value)
            if told.owner == number:
                next_pane_ns = told.event.at_ns
                matter = Matter(told.event, told.entry, next_pane_ns=next_pane_ns)
                self.matters[told.event.tenant, told.event.incident_id] = matter

    def matter(self, tenant: str, incident_id: str) -> Matter:
        """Return the incident's matter."""
        return self.matters.setdefault((tenant, incident_id), Matter())

    def needed(self, topic: str) -> int | None:
        """Return the smallest offset of ``topic`` that a matter still needs; the table has the applied events."""
        offsets: list[int] = []
        for matter in self.matters.values():
            if topic == INCIDENT_EVENTS.name:
                offsets += [offset for offset, _ in matter.events]
            else:
                offsets += [offset for offset, _ in matter.rankings]
                offsets += [matter.hypotheses_offset] if matter.hypotheses_offset >= 0 else []
        return min(offsets, default=None)


class Alerting:
    """The alerting stage."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._config = AlertConfig.from_settings(wiring.settings)
        self._receivers = receivers(wiring.settings)
        self._desks: dict[int, Desk] = {}
        app = wiring.app
        self._table = state_table(app, ALERTING_TABLE, wiring.settings.partitions)
        self._topics = [INCIDENT_EVENTS.name, HYPOTHESES.name]
        self._lanes: Lanes[Desk] = Lanes(STAGE, self._topics, app.floors, app.generation, self._desk, app.committed)
        app.forget.append(self._forget)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        return add_stage(
            self._wiring.app, STAGE, self._topics, self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel
        )

    def _desk(self, partition: TP) -> Desk:
        if partition.partition not in self._desks:
            self._desks[partition.partition] = Desk(self._wiring, self._table, partition.partition)
        return self._desks[partition.partition]

    def _forget(self) -> None:
        self._lanes.clear()
        self._desks.clear()

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of incident events, rankings and progress."""
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                for record in records:
                    self._take(lane, record)
                count_losses(lane.state.clock.drain_losses())
                await self._decide(lane)
                self._lanes.report(lane, lane.state.needed(lane.partition.topic))

    def _take(self, lane: Lane[Desk], record: Record) -> None:
        desk, value = lane.state, record.value or b""
        try:
            if record.key == PROGRESS_KEY:
                desk.clock.step(Progress.decode(value))
            elif lane.partition.topic == INCIDENT_EVENTS.name:
                event = IncidentEvent.model_validate_json(value)
                desk.matter(event.tenant, event.incident_id).events.append((record.offset, event))
            else:
                ranking = HypothesisSet.model_validate_json(value)
                desk.matter(ranking.tenant, ranking.incident_id).rankings.append((record.offset, ranking))
        except (BadPayload, ValidationError) as error:
            metrics.DEAD_LETTERS.labels("", "decode").inc()
            topic = lane.partition.topic
            log.error("record_unreadable", stage=STAGE, topic=topic, offset=record.offset, error=type(error).__name__)

    async def _decide(self, lane: Lane[Desk]) -> None:
        """Walk every matter up to the clock; send what must be sent and keep what was sent."""
        desk = lane.state
        news: dict[bytes, bytes | None] = {}
        for (tenant, incident_id), matter in list(desk.matters.items()):
            before = (matter.event, matter.entry)
            clock_ns = desk.clock.at(tenant)
            for at_ns in matter.walk(clock_ns, self._wiring.windows):
                await self._decide_at(lane, matter, at_ns)
            if matter.is_orphan(clock_ns):
                del desk.matters[tenant, incident_id]
            elif matter.is_over:
                del desk.matters[tenant, incident_id]
                news[_key(tenant, incident_id)] = None
            elif matter.event is not None and (matter.event, matter.entry) != before:
                told = Told(owner=desk.number, event=matter.event, entry=matter.entry)
                news[_key(tenant, incident_id)] = told.model_dump_json().encode()
        if news:
            await insist("kafka", "state", lambda: self._table.save(desk.number, news), self._lanes.wanted(lane))

    async def _decide_at(self, lane: Lane[Desk], matter: Matter, at_ns: int) -> None:
        event = matter.event
        if event is None:
            return
        reason = needs_notifying(matter.entry, event, matter.hypotheses, at_ns, self._config)
        metrics.NOTIFY_DECISIONS.labels(metrics.tenant_label(event.tenant), reason).inc()
        if reason not in SENT:
            return
        alert = build_alert(event, matter.hypotheses, reason, at_ns)
        pool, wanted = self._wiring.stores.postgres, self._lanes.wanted(lane)
        await insist("postgres", "alert", lambda: enqueue(pool, alert, self._receivers, time.time_ns()), wanted)
        matter.entry = NotifyEntry.after(alert, matter.entry)
        _tell(alert)


SENT = frozenset(
    {
        NotifyReason.FIRST,
        NotifyReason.ESCALATED,
        NotifyReason.CAUSE_CHANGED,
        NotifyReason.REPEAT,
        NotifyReason.RESOLVED,
    }
)
"""The reasons for which something is sent; all others are reasons not to."""


def _key(tenant: str, incident_id: str) -> bytes:
    return tenant_key(tenant) + b"|" + incident_id.encode()


def _tell(alert: Alert) -> None:
    log.info(
        "alert",
        tenant=alert.tenant,
        incident=alert.incident_id,
        reason=alert.reason.value,
        severity=alert.severity.value,
        title=alert.title,
    )
