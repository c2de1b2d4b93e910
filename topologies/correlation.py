"""Ranking what may have caused an incident.

::

    deviations ───────▶ TenantPicture ┐ both clocks have passed the pane
      (by tenant)                     ├──▶ rank (an open incident, pane by pane) ─┬─▶ PostgreSQL, with what it is like
    incidents.events ─▶ open ones ────┘        ▲ near deploys                     └─▶ incidents.hypotheses
    telemetry.points ─▶ TenantPicture ─────────┤                                  └─▶ pinned evidence
    deploys.events ───▶ PostgreSQL ────────────┘

The four topics are co-partitioned by tenant, so one desk per partition number sees all of them. A picture is
kept in memory for half an hour of panes; the floors of its topics trail by that much and it is rebuilt by replay.
A change of version that deviations show is kept like a deploy that was announced. A ranking waits until the metrics
that had arrived by its instant are here, but not for a source of metrics that is far behind: they only explain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from faust.types import TP
from pydantic import ValidationError

from schemas.deviations import ServiceDeviations
from schemas.errors import BadPayload
from schemas.events import Event
from schemas.incidents import Deploy, HypothesisSet, IncidentEvent, IncidentState
from schemas.keys import PROGRESS_KEY, tenant_key
from schemas.losses import LossReason
from schemas.snapshots import RankingSnapshot
from schemas.topics import DEPLOYS, DEVIATIONS, HYPOTHESES, INCIDENT_EVENTS, METRICS, POINTS, sources
from sinks.kafka.producer import Message
from sinks.postgres import deploys as deploy_store
from sinks.postgres import rankings, resemblance
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.hypotheses.rhythm import is_in_rhythm, version_of
from streams.points.readings import PointRecord, read_told
from streams.progress import Progress, ProgressClock
from streams.resemblance import features_of, lines_of, vector_of
from streams.versions import changes_seen
from streams.windows import SECOND_NS, Loss, WindowConfig
from topologies import incidents, metrics
from topologies.app import add_stage
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.pinning import Pinner
from topologies.progressing import Broadcast
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

STAGE = "correlation"
BATCH = 128
WITHIN_S = 0.1

PICTURE_NS = 1800 * SECOND_NS
"""How far back a ranking may look, and so how long records are needed."""

PATIENCE_NS = 60 * SECOND_NS
"""A ranking is made without the metrics of a source that is so far behind the rest (by arrival)."""

DEPLOYS_BEFORE_NS = 7200 * SECOND_NS
DEPLOYS_LIMIT = 200
"""Deploys that one ranking weighs, the latest; a ranking that leaves others out is counted."""

CLOSED_STATES = (IncidentState.RESOLVED, IncidentState.CLOSED)

E = TypeVar("E", bound=Event)


def correlation_source(partition: int) -> str:
    """Name one source of topic ``incidents.hypotheses`` as its progress records do."""
    return f"{STAGE}/{partition}"


@dataclass(slots=True)
class OpenCase:
    """An incident that is ranked while it is open. ``offset`` is that of its newest event."""

    offset: int
    event: IncidentEvent
    fresh: bool = True
    """The event has not been ranked yet."""

    def is_due(self, pane_ns: int, windows: WindowConfig) -> bool:
        """Tell whether the pane calls for a new ranking; if so the event is not fresh any more."""
        is_due = self.fresh or is_in_rhythm(self.event, pane_ns + windows.pane_ns, windows.pane_ns)
        self.fresh = self.fresh and not is_due
        return is_due


class Docket:
    """The open incidents of one tenant, walked pane by pane; so how fast the records come changes nothing."""

    def __init__(self, windows: WindowConfig) -> None:
        self._windows = windows
        self._cases: dict[str, OpenCase] = {}
        self._waiting: list[tuple[int, IncidentEvent]] = []
        self._next_pane_ns: int | None = None

    def file(self, offset: int, event: IncidentEvent) -> None:
        """Let an event wait until its pane is due."""
        self._waiting.append((offset, event))

    def due(self, clock_ns: int) -> Iterator[tuple[IncidentEvent, int]]:
        """Yield (incident as it was, pane start) for each ranking that the clock calls for, in order."""
        while (pane_ns := self._next()) is not None and self._windows.published_ns(pane_ns) <= clock_ns:
            self._apply(pane_ns)
            for case in list(self._cases.values()):
                if case.is_due(pane_ns, self._windows):
                    yield case.event, pane_ns
                if case.event.state in CLOSED_STATES:
                    del self._cases[case.event.incident_id]
            self._next_pane_ns = pane_ns + self._windows.pane_ns

    def _next(self) -> int | None:
        if self._cases:
            return self._next_pane_ns
        return min((self._pane_of(event) for _, event in self._waiting), default=None)

    def _apply(self, pane_ns: int) -> None:
        due = [pair for pair in self._waiting if self._pane_of(pair[1]) <= pane_ns]
        self._waiting = [pair for pair in self._waiting if self._pane_of(pair[1]) > pane_ns]
        for offset, event in sorted(due, key=lambda pair: pair[1].sequence):
            self._cases[event.incident_id] = OpenCase(offset, event)

    def _pane_of(self, event: IncidentEvent) -> int:
        return event.at_ns - self._windows.pane_ns

    def needed(self) -> int | None:
        """Return the smallest offset of an event that waits or whose incident is open."""
        open_ones = [case.offset for case in self._cases.values()]
        return min([offset for offset, _ in self._waiting] + open_ones, default=None)


class Desk:
    """All that correlation knows of the tenants of one partition number, in one generation."""

    def __init__(self, wiring: Wiring, number: int) -> None:
        self.windows = wiring.windows
        self.deviations_clock = ProgressClock(incidents.expected_sources(wiring.settings.partitions))
        self.events_clock = ProgressClock([f"{DEVIATIONS.name}/{number}"])
        self.points_clock = ProgressClock(sources(METRICS, wiring.settings.partitions))
        self.broadcast = Broadcast(HYPOTHESES, [number])
        self.source = correlation_source(number)
        self.pictures: dict[str, TenantPicture] = {}
        self._dockets: dict[str, Docket] = {}
        self._seen: deque[tuple[int, str, int]] = deque()
        self._points_seen: deque[tuple[int, str, int]] = deque()

    def clock_ns(self, tenant: str) -> int:
        """Return the time up to which the tenant's deviations and its incidents' events are here, and its metrics."""
        here_ns = min(self.deviations_clock.at(tenant), self.events_clock.at(tenant))
        return _patiently(here_ns, self.points_clock.at(tenant))

    @property
    def clocks(self) -> tuple[ProgressClock, ...]:
        """All that tell it the time."""
        return self.deviations_clock, self.events_clock, self.points_clock

    def see(self, offset: int, deviations: ServiceDeviations) -> None:
        """Add to the tenant's picture."""
        tenant = deviations.tenant
        if deviations.driven:
            self.deviations_clock.mark_driven(tenant)
            self.events_clock.mark_driven(tenant)
            self.points_clock.mark_driven(tenant)
        picture = self._picture(tenant)
        picture.step(deviations)
        count_losses(picture.drain_losses())
        self._seen.append((offset, tenant, deviations.pane_start_ns))

    def see_points(self, offset: int, record: PointRecord) -> None:
        """Add points of metrics to the tenant's picture."""
        if record.driven:
            self.points_clock.mark_driven(record.tenant)
        picture = self._picture(record.tenant)
        picture.step_points(record.told)
        count_losses(picture.drain_losses())
        newest_ns = max((point.arrival_ns for _, point in record.told), default=0)
        self._points_seen.append((offset, record.tenant, newest_ns))

    def _picture(self, tenant: str) -> TenantPicture:
        if tenant not in self.pictures:
            self.pictures[tenant] = TenantPicture(tenant)
        return self.pictures[tenant]

    def file(self, offset: int, event: IncidentEvent) -> None:
        """Take an event of an incident."""
        self._dockets.setdefault(event.tenant, Docket(self.windows)).file(offset, event)

    def due(self) -> list[tuple[IncidentEvent, int]]:
        """Return (incident, pane start) for each ranking to be made now."""
        return [pair for tenant, docket in self._dockets.items() for pair in docket.due(self.clock_ns(tenant))]

    def needed_deviations(self) -> int | None:
        """Return the smallest offset of deviations that a picture still needs."""
        while self._seen and self._seen[0][2] < self.deviations_clock.at(self._seen[0][1]) - PICTURE_NS:
            self._seen.popleft()
        return self._seen[0][0] if self._seen else None

    def needed_points(self) -> int | None:
        """Return the smallest offset of points that a picture still needs."""
        seen = self._points_seen
        while seen and seen[0][2] < self.points_clock.at(seen[0][1]) - PICTURE_NS:
            seen.popleft()
        return seen[0][0] if seen else None

    def needed_events(self) -> int | None:
        """Return the smallest offset of an event that is still needed."""
        floors = [docket.needed() for docket in self._dockets.values()]
        return min((floor for floor in floors if floor is not None), default=None)

    def progress(self) -> Progress:
        """Return how far rankings have come: as far as the clocks."""
        one, other = self.deviations_clock.progress(self.source), self.events_clock.progress(self.source)
        tenants = one.driven.keys() | other.driven.keys()
        here = {tenant: min(one.driven.get(tenant, 0), other.driven.get(tenant, 0)) for tenant in tenants}
        driven = {tenant: _patiently(at_ns, self.points_clock.at(tenant)) for tenant, at_ns in here.items()}
        wall_ns = _patiently(min(one.wall_ns, other.wall_ns), self.points_clock.wall_ns)
        return Progress(self.source, wall_ns, driven)


def _patiently(here_ns: int, points_ns: int) -> int:
    """Return how far all have come, or all but the metrics where these are too far behind."""
    return max(min(here_ns, points_ns), here_ns - PATIENCE_NS, 0)


class Correlation:
    """The correlation stage."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._desks: dict[int, Desk] = {}
        app = wiring.app
        topics = [DEVIATIONS.name, INCIDENT_EVENTS.name, DEPLOYS.name, POINTS.name]
        self._lanes: Lanes[Desk] = Lanes(STAGE, topics, app.floors, app.generation, self._desk, app.committed)
        self._topics = topics
        self._pinner = Pinner(wiring.stores)
        app.forget.append(self._forget)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        return add_stage(
            self._wiring.app, STAGE, self._topics, self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel
        )

    def _desk(self, partition: TP) -> Desk:
        if partition.partition not in self._desks:
            self._desks[partition.partition] = Desk(self._wiring, partition.partition)
        return self._desks[partition.partition]

    def _forget(self) -> None:
        self._lanes.clear()
        self._desks.clear()

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of deviations, incident events, deploys, points of metrics and progress."""
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                for record in records:
                    await self._take(lane, record)
                await self._rank(lane)
                self._lanes.report(lane, self._needed(lane))

    async def _take(self, lane: Lane[Desk], record: Record) -> None:
        desk, topic = lane.state, lane.partition.topic
        try:
            if record.key == PROGRESS_KEY:
                _clock_of(desk, topic).step(Progress.decode(record.value or b""))
                count_losses([loss for clock in desk.clocks for loss in clock.drain_losses()])
            elif topic == POINTS.name:
                desk.see_points(record.offset, read_told(record.value or b""))
            elif topic == DEVIATIONS.name:
                await self._see(lane, record.offset, _read(ServiceDeviations, record))
            elif topic == INCIDENT_EVENTS.name:
                desk.file(record.offset, _read(IncidentEvent, record))
            else:
                await self._record_deploy(lane, _read(Deploy, record))
        except (BadPayload, ValidationError) as error:
            metrics.DEAD_LETTERS.labels("", "decode").inc()
            log.error("record_unreadable", stage=STAGE, topic=topic, offset=record.offset, error=type(error).__name__)

    async def _see(self, lane: Lane[Desk], offset: int, deviations: ServiceDeviations) -> None:
        """Add a pane to the picture of its tenant; a change that it shows is a deploy like one that was announced."""
        lane.state.see(offset, deviations)
        for deploy in changes_seen(deviations):
            await self._record_deploy(lane, deploy)

    async def _record_deploy(self, lane: Lane[Desk], deploy: Deploy) -> None:
        """Make sure a deploy is in the store, whoever published it; rankings read it from there."""
        pool = self._wiring.stores.postgres
        await insist("postgres", "deploy", lambda: deploy_store.record(pool, deploy), self._lanes.wanted(lane))

    async def _rank(self, lane: Lane[Desk]) -> None:
        desk = lane.state
        for event, pane_ns in desk.due():
            await self._rank_one(lane, event, pane_ns + desk.windows.pane_ns)
        await self._wiring.send(self._lanes, lane, desk.broadcast.messages(desk.progress()))

    async def _rank_one(self, lane: Lane[Desk], event: IncidentEvent, as_of_ns: int) -> None:
        picture = lane.state.pictures.setdefault(event.tenant, TenantPicture(event.tenant))
        near = await self._near_deploys(lane, event, as_of_ns)
        version = version_of(event, as_of_ns, lane.state.windows.pane_ns)
        snapshot = snapshot_of(picture, event, near, as_of_ns, version)
        ranking = rank(snapshot)
        pool = self._wiring.stores.postgres
        wanted = self._lanes.wanted(lane)
        if await insist("postgres", "hypotheses", lambda: rankings.put(pool, ranking, snapshot), wanted):
            _tell(ranking)
        await self._remember(ranking, snapshot, wanted)
        await self._wiring.send(self._lanes, lane, [hypotheses_message(ranking)])
        await self._pinner.pin(ranking, snapshot, wanted)

    async def _remember(self, ranking: HypothesisSet, snapshot: RankingSnapshot, wanted: Callable[[], bool]) -> None:
        """Keep what the incident is like, for the day when one like it comes."""
        features = features_of(ranking, snapshot)
        one = (ranking.tenant, ranking.incident_id, ranking.version, snapshot.onset_ns, features, vector_of(features))
        pool, lines = self._wiring.stores.postgres, lines_of(snapshot)
        await insist("postgres", "features", lambda: resemblance.keep(pool, *one, lines), wanted)

    async def _near_deploys(self, lane: Lane[Desk], event: IncidentEvent, as_of_ns: int) -> list[Deploy]:
        pool, since_ns = self._wiring.stores.postgres, event.onset_ns - DEPLOYS_BEFORE_NS

        async def read() -> list[Deploy]:
            return await deploy_store.page(
                pool, event.tenant, since_ns=since_ns, until_ns=as_of_ns, limit=DEPLOYS_LIMIT + 1
            )

        return latest_deploys(event.tenant, await insist("postgres", "deploys", read, self._lanes.wanted(lane)))

    def _needed(self, lane: Lane[Desk]) -> int | None:
        if lane.partition.topic == DEVIATIONS.name:
            return lane.state.needed_deviations()
        if lane.partition.topic == POINTS.name:
            return lane.state.needed_points()
        return lane.state.needed_events() if lane.partition.topic == INCIDENT_EVENTS.name else None


def latest_deploys(tenant: str, found: list[Deploy]) -> list[Deploy]:
    """Return those that are weighed, of deploys with the latest first; that there are more is counted."""
    count_losses([Loss(tenant, LossReason.DEPLOY_OVERFLOW, 1)] if len(found) > DEPLOYS_LIMIT else [])
    return found[:DEPLOYS_LIMIT]


def _clock_of(desk: Desk, topic: str) -> ProgressClock:
    """Return the clock that a topic's progress moves."""
    clocks = {DEVIATIONS.name: desk.deviations_clock, POINTS.name: desk.points_clock}
    return clocks.get(topic, desk.events_clock)


def _read(kind: type[E], record: Record) -> E:
    return kind.model_validate_json(record.value or b"")


def _tell(ranking: HypothesisSet) -> None:
    metrics.HYPOTHESES.labels(metrics.tenant_label(ranking.tenant)).inc()
    lead = ranking.hypotheses[0] if ranking.hypotheses else None
    log.info(
        "ranked",
        tenant=ranking.tenant,
        incident=ranking.incident_id,
        version=ranking.version,
        lead=None if lead is None else lead.title,
        confidence=None if lead is None else round(lead.confidence, 2),
    )


def hypotheses_message(ranking: HypothesisSet) -> Message:
    """Return a ranking as the record of topic ``incidents.hypotheses``."""
    return Message(HYPOTHESES.name, ranking.model_dump_json().encode(), tenant_key(ranking.tenant))
