"""The shape that baselines and slo share: panes of a service in, deviations out, a long memory in a table.

::

    health ─▶ take ─┬─ ServiceHealth ─▶ step(state, pane) ──▶ deviations, keyed by tenant
      (by service)  └─ Progress                └── state ──▶ table, confirmed ──▶ Progress to all of deviations

Order matters: deviations are sent, then the states are kept, then time moves on. A crash in between makes the
same panes come again; the steps are idempotent by pane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import structlog
from faust.types import TP
from pydantic import ValidationError

from schemas.deviations import ServiceDeviations
from schemas.errors import BadPayload, StoreError
from schemas.health import ServiceHealth
from schemas.keys import PROGRESS_KEY, service_key, tenant_key
from schemas.topics import DEVIATIONS, HEALTH, ROLLUPS, TopicSpec
from sinks.kafka.producer import Message
from sinks.redis import set_badges
from streams.progress import Progress, ProgressClock
from topologies import metrics
from topologies.app import add_stage
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.progressing import Broadcast
from topologies.tables import StateTable, state_table
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

BATCH = 128
WITHIN_S = 0.1


class Fold(Protocol):
    """A pure operator over the panes of one service."""

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, ServiceDeviations | None]:
        """Return the new state and what deviates."""


def deviation_source(stage: str, partition: int) -> str:
    """Name one source of topic ``deviations`` as its progress records do."""
    return f"{HEALTH.name}/{partition}#{stage}"


class DeviationLane:
    """The clock of one partition of topic ``health``."""

    def __init__(self, stage: str, partitions: int, partition: TP) -> None:
        number = partition.partition
        self.source = deviation_source(stage, number)
        self.clock = ProgressClock([f"{ROLLUPS.name}/{number}"])
        self.broadcast = Broadcast(DEVIATIONS, range(partitions))
        self.badges: dict[str, dict[str, tuple[str, str]]] = {}
        """How far the baselines of the services are, by tenant: what changed since it was shown."""


L = TypeVar("L", bound=DeviationLane)


class DeviationStage(Generic[L]):
    """A stage that judges panes."""

    def __init__(
        self, wiring: Wiring, stage: str, fold: Fold, table: TopicSpec, lane: Callable[[str, int, TP], L], *,
        shows_badges: bool = False,
    ) -> None:  # fmt: skip
        self._wiring = wiring
        self._shows_badges = shows_badges
        self._stage = stage
        self._fold = fold
        app, partitions = wiring.app, wiring.settings.partitions
        self._table: StateTable = state_table(app, table, partitions, wiring.settings.state_bytes)
        self._lanes: Lanes[L] = Lanes(
            stage,
            [HEALTH.name],
            app.floors,
            app.generation,
            lambda partition: lane(stage, partitions, partition),
            app.committed,
        )
        app.forget.append(self._lanes.clear)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        app = self._wiring.app
        return add_stage(app, self._stage, [HEALTH.name], self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel)

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of panes and progress."""
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                states, messages = await asyncio.to_thread(self._judge, lane.state, records)
                await self._wiring.send(self._lanes, lane, messages)
                await self._show(lane.state.badges)
                if states:
                    await self._keep(lane, states)
                progress = lane.state.clock.progress(lane.state.source)
                await self._wiring.send(self._lanes, lane, lane.state.broadcast.messages(progress))
                self._lanes.report(lane, None)

    def _step(
        self, lane: L, key: bytes, state: bytes | None, health: ServiceHealth
    ) -> tuple[bytes, ServiceDeviations | None]:
        return self._fold.step(state, health)

    async def _keep(self, lane: Lane[L], states: Mapping[bytes, bytes | None]) -> None:
        await self._save(self._table, lane, states)

    async def _save(self, table: StateTable, lane: Lane[L], states: Mapping[bytes, bytes | None]) -> None:
        number = lane.partition.partition
        await insist("kafka", "state", lambda: table.save(number, states), self._lanes.wanted(lane))

    async def _show(self, badges: dict[str, dict[str, tuple[str, str]]]) -> None:
        """Bring the badges up to date; like the current picture they hold nothing up."""
        try:
            for tenant in list(badges):
                await set_badges(self._wiring.stores.redis, tenant, badges[tenant])
                del badges[tenant]
        except StoreError as error:
            metrics.STORE_RETRIES.labels("redis").inc()
            log.warning("badges_not_shown", error=str(error))

    def _judge(self, lane: L, records: Sequence[Record]) -> tuple[dict[bytes, bytes | None], list[Message]]:
        states: dict[bytes, bytes | None] = {}
        messages: list[Message] = []
        for record in records:
            try:
                if record.key == PROGRESS_KEY:
                    lane.clock.step(Progress.decode(record.value or b""))
                    continue
                health = ServiceHealth.model_validate_json(record.value or b"")
            except (BadPayload, ValidationError) as error:
                metrics.DEAD_LETTERS.labels("", "decode").inc()
                log.error("health_unreadable", stage=self._stage, offset=record.offset, error=type(error).__name__)
                continue
            if health.driven:
                lane.clock.mark_driven(health.tenant)
            key = service_key(health.tenant, health.service)
            state = states[key] if key in states else self._table.stored(key)
            states[key], deviations = self._step(lane, key, state, health)
            if deviations is not None:
                messages.append(deviation_message(deviations))
                if self._shows_badges:
                    lane.badges.setdefault(health.tenant, {})[health.service] = (
                        deviations.state,
                        deviations.hour_of_week,
                    )
                metrics.DEVIATIONS.labels(metrics.tenant_label(health.tenant), self._stage).inc()
        count_losses(lane.clock.drain_losses())
        return states, messages


def deviation_message(deviations: ServiceDeviations) -> Message:
    """Return deviations as the record of topic ``deviations``."""
    return Message(DEVIATIONS.name, deviations.model_dump_json().encode(), tenant_key(deviations.tenant))
