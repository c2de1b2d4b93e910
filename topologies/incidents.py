"""Deviations of a tenant into incidents: one per causal group.

::

    deviations ─▶ take ─┬─ ServiceDeviations ─▶ by tenant and pane, until every source has passed the pane
      (by tenant)       └─ Progress ──────────▶ clock ──▶ IncidentFold.step_pane, in pane order
    telemetry.points ─▶ of replays ─────────────────────▶ do services rest?
                                                              │
                 incidents table, confirmed ◀── state ────────┼──▶ PostgreSQL (idempotent by event_id)
                                                              └──▶ incidents.events, then Progress

The floor holds the records of panes that were not stepped yet. Only of what is replayed silence may be a hole, and CPU
tells (`streams.incidents.silence`): so its panes wait for metrics, but for no more than a minute, and the floor of
points trails by as much as is looked at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from faust.types import TP
from pydantic import ValidationError

from schemas.deviations import ServiceDeviations
from schemas.errors import BadPayload
from schemas.incidents import IncidentEvent
from schemas.keys import PROGRESS_KEY, tenant_key
from schemas.topics import DEVIATIONS, INCIDENT_EVENTS, INCIDENTS_TABLE, METRICS, POINTS, sources
from sinks.kafka.producer import Message
from sinks.postgres.incidents import apply_event
from streams.incidents import IncidentConfig, IncidentFold
from streams.points.courses import KEEP_NS
from streams.points.readings import PointRecord, is_driven, read_told
from streams.progress import Progress, ProgressClock
from streams.windows import SECOND_NS, WindowConfig
from topologies import baselines, metrics, slo
from topologies.app import add_stage
from topologies.deviating import deviation_source
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.progressing import Broadcast
from topologies.tables import StateTable, state_table
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

STAGE = "incidents"
BATCH = 128
WITHIN_S = 0.1

PATIENCE_NS = 60 * SECOND_NS
"""Nothing waits for a source of metrics that is so far behind the rest (by arrival): they explain, and
tell a hole of a recording from a stop of traffic."""

TENANTS_HELD = 1000
"""Beyond this many, tenants with nothing open are read from the table when they come again."""


def patiently(here_ns: int, points_ns: int) -> int:
    """Return how far all have come, or all but the metrics where these are too far behind."""
    return max(min(here_ns, points_ns), here_ns - PATIENCE_NS, 0)


def expected_sources(partitions: int) -> list[str]:
    """Name everything that sends deviations."""
    return [deviation_source(stage, p) for stage in (baselines.STAGE, slo.STAGE) for p in range(partitions)]


@dataclass(slots=True)
class TenantPanes:
    """The panes of one tenant that wait to be stepped, and the fold."""

    fold: IncidentFold
    waiting: dict[int, list[tuple[int, ServiceDeviations]]] = field(default_factory=dict)
    """Pane start to (offset, deviations)."""

    def add(self, offset: int, deviations: ServiceDeviations) -> None:
        """Let a record wait for its pane; one for a pane that was stepped is a revision that comes too late."""
        if deviations.pane_start_ns > self.fold.last_pane_ns:
            self.waiting.setdefault(deviations.pane_start_ns, []).append((offset, deviations))

    def due(self, clock_ns: int, windows: WindowConfig) -> Iterator[tuple[int, list[ServiceDeviations]]]:
        """Yield the panes that the clock has passed, in order, empty ones too while an incident is open."""
        while (pane_ns := self._next_pane(windows)) is not None and windows.published_ns(pane_ns) <= clock_ns:
            yield pane_ns, [deviations for _, deviations in self.waiting.pop(pane_ns, [])]

    def _next_pane(self, windows: WindowConfig) -> int | None:
        if self.fold.open and self.fold.last_pane_ns >= 0:
            return self.fold.last_pane_ns + windows.pane_ns
        return min(self.waiting, default=None)  # nothing is open: a pane without records changes nothing

    def needed(self) -> int | None:
        """Return the smallest offset that waits."""
        return min((offset for pane in self.waiting.values() for offset, _ in pane), default=None)


class IncidentLane:
    """The tenants of one partition number of ``deviations`` and ``telemetry.points``."""

    def __init__(self, wiring: Wiring, table: StateTable, number: int) -> None:
        self.source = f"{DEVIATIONS.name}/{number}"
        self.clock = ProgressClock(expected_sources(wiring.settings.partitions))
        self.points_clock = ProgressClock(sources(METRICS, wiring.settings.partitions))
        self.broadcast = Broadcast(INCIDENT_EVENTS, [number])
        self._windows = wiring.windows
        self._config = IncidentConfig(pane_s=wiring.settings.pane_s)
        self._table = table
        self._owner = number
        self._tenants: dict[str, TenantPanes] = {}
        self._points_seen: deque[tuple[int, str, int]] = deque()
        self._revive()

    def take(self, records: Sequence[Record]) -> None:
        """Sort a batch into the waiting panes."""
        for record in records:
            try:
                if record.key == PROGRESS_KEY:
                    self.clock.step(Progress.decode(record.value or b""))
                    continue
                deviations = ServiceDeviations.model_validate_json(record.value or b"")
            except (BadPayload, ValidationError) as error:
                metrics.DEAD_LETTERS.labels("", "decode").inc()
                log.error("deviations_unreadable", offset=record.offset, error=type(error).__name__)
                continue
            if deviations.driven:
                self.clock.mark_driven(deviations.tenant)
                self.points_clock.mark_driven(deviations.tenant)
            self._panes(deviations.tenant).add(record.offset, deviations)
        count_losses(self.clock.drain_losses())

    def take_points(self, records: Sequence[Record]) -> None:
        """Take the points of metrics of what is replayed."""
        for record in records:
            try:
                if record.key == PROGRESS_KEY:
                    self.points_clock.step(Progress.decode(record.value or b""))
                elif is_driven(record.value or b""):
                    self._see_points(record.offset, read_told(record.value or b""))
            except BadPayload as error:
                metrics.DEAD_LETTERS.labels("", "decode").inc()
                log.error("points_unreadable", offset=record.offset, error=type(error).__name__)

    def _see_points(self, offset: int, record: PointRecord) -> None:
        self.points_clock.mark_driven(record.tenant)
        self._panes(record.tenant).fold.silence.see_points(record.told)
        newest_ns = max((point.arrival_ns for _, point in record.told), default=0)
        self._points_seen.append((offset, record.tenant, newest_ns))

    def clock_ns(self, tenant: str) -> int:
        """Return up to when all of a tenant is here; of a replay also its metrics, unless they are far behind."""
        here_ns = self.clock.at(tenant)
        return patiently(here_ns, self.points_clock.at(tenant)) if self.clock.is_driven(tenant) else here_ns

    def progress(self) -> Progress:
        """Return how far incidents have come."""
        here = self.clock.progress(self.source)
        return replace(here, driven={tenant: self.clock_ns(tenant) for tenant in here.driven})

    def step(self) -> tuple[list[IncidentEvent], dict[bytes, bytes | None]]:
        """Step every pane that is due; return the events and the states to keep."""
        events: list[IncidentEvent] = []
        states: dict[bytes, bytes | None] = {}
        for tenant, panes in list(self._tenants.items()):
            stepped = False
            for pane_ns, deviations in panes.due(self.clock_ns(tenant), self._windows):
                events += panes.fold.step_pane(pane_ns, deviations, decided_ns(pane_ns, self._windows))
                tell_losses(panes.fold)
                stepped = True
            if stepped:
                states[tenant_key(tenant)] = _pack(self._owner, panes.fold)
            if len(self._tenants) > TENANTS_HELD and not panes.waiting and not panes.fold.open:
                del self._tenants[tenant]  # the table has it
        return events, states

    def needed(self) -> int | None:
        """Return the smallest offset whose pane was not stepped yet."""
        floors = [panes.needed() for panes in self._tenants.values()]
        return min((floor for floor in floors if floor is not None), default=None)

    def needed_points(self) -> int | None:
        """Return the smallest offset of points that are still looked at."""
        seen = self._points_seen
        while seen and seen[0][2] < self.points_clock.at(seen[0][1]) - KEEP_NS:
            seen.popleft()
        return seen[0][0] if seen else None

    def _panes(self, tenant: str) -> TenantPanes:
        if tenant not in self._tenants:
            _, state = _unpack(self._table.stored(tenant_key(tenant)) or b"")
            self._tenants[tenant] = TenantPanes(IncidentFold.from_bytes(tenant, self._config, state))
        return self._tenants[tenant]

    def _revive(self) -> None:
        """Bring back the tenants with open incidents: these go on even when nothing of them comes any more."""
        for key, value in list(self._table.items()):
            owner, state = _unpack(value)
            tenant = key.decode()
            fold = IncidentFold.from_bytes(tenant, self._config, state)
            if owner == self._owner and fold.open:
                self._tenants[tenant] = TenantPanes(fold)


def tell_losses(fold: IncidentFold) -> None:
    """Count and log what there was no room for: who is in no incident leaves this trace."""
    count_losses(fold.losses.drain())
    if fold.unopened:
        count, some = len(fold.unopened), fold.unopened[:5]
        log.error("incident_not_opened", tenant=fold.tenant, open=len(fold.open), services=count, some=some)
        fold.unopened.clear()


def decided_ns(pane_start_ns: int, windows: WindowConfig) -> int:
    """Return the arrival time at which a pane is decided: when it is published, which waits for pairing."""
    return windows.published_ns(pane_start_ns) + windows.pair_wait_ns


def _pack(owner: int, fold: IncidentFold) -> bytes:
    return owner.to_bytes(2, "big") + fold.to_bytes()


def _unpack(value: bytes) -> tuple[int, bytes | None]:
    """Split a table value into the partition that wrote it and the fold's state."""
    return int.from_bytes(value[:2], "big"), value[2:] or None


class Incidents:
    """The incidents stage."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        app = wiring.app
        self._table = state_table(app, INCIDENTS_TABLE, wiring.settings.partitions)
        self._topics = [DEVIATIONS.name, POINTS.name]
        self._of_number: dict[int, IncidentLane] = {}
        self._lanes: Lanes[IncidentLane] = Lanes(
            STAGE, self._topics, app.floors, app.generation, self._state_of, app.committed
        )
        app.forget.append(self._forget)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        return add_stage(
            self._wiring.app, STAGE, self._topics, self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel
        )

    def _state_of(self, partition: TP) -> IncidentLane:
        """Return what both partitions of a number share."""
        number = partition.partition
        if number not in self._of_number:
            self._of_number[number] = IncidentLane(self._wiring, self._table, number)
        return self._of_number[number]

    def _forget(self) -> None:
        self._lanes.clear()
        self._of_number.clear()

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of deviations, points of metrics and progress."""
        for lane, records in self._lanes.split(events):
            of_points = lane.partition.topic == POINTS.name
            with suppress(LaneEndedError):
                await asyncio.to_thread(lane.state.take_points if of_points else lane.state.take, records)
                await self._step(lane)
                self._lanes.report(lane, lane.state.needed_points() if of_points else lane.state.needed())

    async def _step(self, lane: Lane[IncidentLane]) -> None:
        events, states = await asyncio.to_thread(lane.state.step)
        for event in events:
            await self._store(lane, event)
        await self._wiring.send(self._lanes, lane, [incident_message(event) for event in events])
        if states:
            number = lane.partition.partition
            await insist("kafka", "state", lambda: self._table.save(number, states), self._lanes.wanted(lane))
        await self._wiring.send(self._lanes, lane, lane.state.broadcast.messages(lane.state.progress()))

    async def _store(self, lane: Lane[IncidentLane], event: IncidentEvent) -> None:
        pool, wanted = self._wiring.stores.postgres, self._lanes.wanted(lane)
        is_new = await insist("postgres", "incident", lambda: apply_event(pool, event), wanted)
        if is_new:
            metrics.INCIDENT_EVENTS.labels(metrics.tenant_label(event.tenant), event.kind).inc()
            log.info(
                "incident",
                tenant=event.tenant,
                incident=event.incident_id,
                kind=event.kind,
                severity=event.severity.value,
                title=event.title,
                services=len(event.services),
            )


def incident_message(event: IncidentEvent) -> Message:
    """Return an event as the record of topic ``incidents.events``."""
    return Message(INCIDENT_EVENTS.name, event.model_dump_json().encode(), tenant_key(event.tenant))
