"""Merging partial windows into the health of services.

::

    telemetry.rollups ─▶ take ─┬─ Progress ──────▶ HealthFold.step_progress ─┐
     (by service)              └─ ServicePartial ▶ HealthFold.step_partial ──┴─▶ publish ─┬─▶ ClickHouse panes (awaited)
                                                                                          ├─▶ Redis current picture
                                                                                          ├─▶ health, then Progress
                                                                                          └─▶ telemetry.late: Progress
    nodes table ──▶ remember() at assignment: who gets an empty pane when it falls silent
    memories table ◀──▶ recall() of a service's log templates; what is learned is kept before the floor rises
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from faust.types import TP

from schemas.errors import BadPayload, StoreError
from schemas.failpoints import Failpoint
from schemas.health import ServiceHealth
from schemas.keys import PROGRESS_KEY, service_key
from schemas.topics import HEALTH, LATE, LOGS, ROLLUPS, STUBS, TRACES, sources
from sinks.kafka.producer import Message
from sinks.redis import set_healths
from streams.health import HealthFold
from streams.partials import ServicePartial
from streams.progress import Progress
from topologies import metrics
from topologies.app import add_stage
from topologies.failpoints import reached
from topologies.lanes import Lane, Lanes
from topologies.memories import MemoriesTable
from topologies.nodes import KEEP_PACE_S, KeptNodes, NodesTable
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.progressing import INNER_PACE_S, Broadcast, FloorKeeper, Pacer
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

STAGE = "health"
BATCH = 128
WITHIN_S = 0.1
LATE_PACE_S = 5.0
"""How often the stage that measures late panes is told what is final: to every partition, so not more often."""


def expected_sources(partitions: int) -> list[str]:
    """Name everything that sends partials: all of them must have reported before a pane is published."""
    return [*sources(TRACES, partitions), *sources(LOGS, partitions), *sources(STUBS, partitions)]


class HealthLane:
    """The health fold of one partition and what surrounds it."""

    def __init__(self, wiring: Wiring, nodes: NodesTable, memories: MemoriesTable, partition: TP) -> None:
        source = f"{partition.topic}/{partition.partition}"
        expected = expected_sources(wiring.settings.partitions)
        self.fold = HealthFold(source, expected, wiring.windows, wiring.closed.load(partition), memories.recall)
        self.kept_nodes: KeptNodes = {}
        for node in nodes.load(partition.partition):
            self.fold.remember(node)
            self.kept_nodes[service_key(node.tenant, node.service)] = node.last_seen_ns
        self.broadcast = Broadcast(HEALTH, [partition.partition])
        self.late_broadcast = Broadcast(LATE, range(wiring.settings.partitions))
        self.late_due = Pacer(LATE_PACE_S)
        self.publish_due = Pacer(INNER_PACE_S)
        self.keep_due = Pacer(KEEP_PACE_S)
        self.keeper = FloorKeeper(wiring.closed, partition)

    def take(self, records: Sequence[Record]) -> None:
        """Fold a batch. Our own records: one that cannot be read is a loss to be seen, not to die of."""
        for record in records:
            try:
                if record.key == PROGRESS_KEY:
                    self.fold.step_progress(Progress.decode(record.value or b""), record.offset)
                else:
                    self.fold.step_partial(ServicePartial.decode(record.value or b""), record.offset)
            except BadPayload as error:
                metrics.DEAD_LETTERS.labels("", error.reason).inc()
                log.error("partial_unreadable", offset=record.offset, detail=error.detail)

    def publish(self) -> tuple[list[ServiceHealth], list[Message]]:
        """Return the panes that are new or changed, and their records."""
        panes = self.fold.publish()
        count_losses(self.fold.drain_losses())
        return panes, [health_message(pane) for pane in panes]


def health_message(pane: ServiceHealth) -> Message:
    """Return a pane as the record of topic ``health``."""
    return Message(HEALTH.name, pane.model_dump_json().encode(), service_key(pane.tenant, pane.service))


class Health:
    """The health stage."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        app = wiring.app
        self._nodes = NodesTable(app, wiring.settings.partitions)
        self._memories = MemoriesTable(app, wiring.settings.partitions, wiring.settings.state_bytes)
        self._lanes: Lanes[HealthLane] = Lanes(
            STAGE,
            [ROLLUPS.name],
            app.floors,
            app.generation,
            lambda partition: HealthLane(wiring, self._nodes, self._memories, partition),
            app.committed,
        )
        app.forget.append(self._lanes.clear)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        return add_stage(
            self._wiring.app, STAGE, [ROLLUPS.name], self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel
        )

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of partials and progress."""
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                await asyncio.to_thread(lane.state.take, records)
                if lane.state.publish_due.due():
                    await self._publish(lane)
                fold = lane.state.fold
                await lane.state.keeper.settle(self._lanes, lane, fold.lowest_needed_offset(), fold.closed())

    async def _publish(self, lane: Lane[HealthLane]) -> None:
        panes, messages = await asyncio.to_thread(lane.state.publish)
        if panes:
            wanted = self._lanes.wanted(lane)
            reached(Failpoint.PANES_BEFORE)
            await insist("clickhouse", "panes", lambda: self._wiring.panes.write_panes(panes), wanted)
            reached(Failpoint.PANES_AFTER)
            await self._show(panes)
            await self._wiring.send(self._lanes, lane, messages)
            reached(Failpoint.HEALTH_AFTER)
            for pane in panes:
                metrics.PANES.labels(metrics.tenant_label(pane.tenant)).inc()
            log.info("panes_published", partition=lane.partition.partition, panes=len(panes))
        memories = lane.state.fold.drain_memories()
        await self._memories.keep(lane.partition.partition, memories, self._lanes.wanted(lane))
        await self._wiring.send(self._lanes, lane, lane.state.broadcast.messages(lane.state.fold.progress()))
        if lane.state.late_due.due():
            news = lane.state.late_broadcast.messages(lane.state.fold.progress())
            await self._wiring.send(self._lanes, lane, news)
        if lane.state.keep_due.due():
            known, kept = lane.state.fold.known(), lane.state.kept_nodes
            await self._nodes.keep(lane.partition.partition, known, kept, self._lanes.wanted(lane))

    async def _show(self, panes: list[ServiceHealth]) -> None:
        """Bring the current picture up to date. It can be rebuilt, so a Redis that is away holds nothing up."""
        newest = {(pane.tenant, pane.service): pane for pane in panes}  # panes ascend
        try:
            with metrics.STORE_SECONDS.labels("redis", "picture").time():
                await set_healths(self._wiring.stores.redis, list(newest.values()))
        except StoreError as error:
            metrics.STORE_RETRIES.labels("redis").inc()
            log.warning("current_picture_not_shown", error=str(error))
