"""Ranking what may have caused an incident.

::

    deviations ───────▶ TenantPicture ┐ both clocks have passed the pane
      (by tenant)                     ├──▶ rank (an open incident, pane by pane) ─┬─▶ PostgreSQL, with what it is like
    incidents.events ─▶ open ones ────┘        ▲ near deploys                     └─▶ incidents.hypotheses
    telemetry.points ─▶ TenantPicture ─────────┤                                  └─▶ pinned evidence
    deploys.events ───▶ PostgreSQL ────────────┘

The four topics are co-partitioned by tenant, so one desk (`topologies.desks`) per partition number sees all of them.
A picture is kept in memory for half an hour of panes; the floors of its topics trail by that much and it is rebuilt by
replay. A change of version that deviations show is kept like a deploy that was announced. A ranking waits until the
metrics that had arrived by its instant are here, but not for a source of metrics that is far behind: they only explain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from faust.types import TP
from pydantic import ValidationError

from schemas.deviations import ServiceDeviations
from schemas.errors import BadPayload
from schemas.events import Event
from schemas.incidents import Deploy, HypothesisSet, IncidentEvent
from schemas.keys import PROGRESS_KEY, tenant_key
from schemas.losses import LossReason
from schemas.snapshots import RankingSnapshot
from schemas.topics import DEPLOYS, DEVIATIONS, HYPOTHESES, INCIDENT_EVENTS, POINTS
from sinks.kafka.producer import Message
from sinks.postgres import deploys as deploy_store
from sinks.postgres import rankings, resemblance
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.hypotheses.rhythm import version_of
from streams.points.readings import read_told
from streams.progress import Progress
from streams.resemblance import features_of, lines_of, vector_of
from streams.versions import changes_seen
from streams.windows import SECOND_NS, Loss
from topologies import metrics
from topologies.app import add_stage
from topologies.desks import STAGE, Desk, clock_of
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.pinning import Pinner
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

BATCH = 128
WITHIN_S = 0.1

DEPLOYS_BEFORE_NS = 7200 * SECOND_NS
DEPLOYS_LIMIT = 200
"""Deploys that one ranking weighs, the latest; a ranking that leaves others out is counted."""

E = TypeVar("E", bound=Event)


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
                clock_of(desk, topic).step(Progress.decode(record.value or b""))
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
