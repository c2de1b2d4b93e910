"""What is unusual for a service, measured against its own recent past, and what may explain it.

::

    health ──▶ JudgeFold (table: trailing medians and signatures per service) ──▶ deviations
                  ▲ │
                  │ ▼ (table: what is usual at each hour of the week, written when five minutes are over)
    ClickHouse ─▶ warm start, once for each service

The hours are kept before the rest: a crash in between makes the same five minutes go to the same cells again.
"""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import TP

from schemas.deviations import ServiceDeviations
from schemas.health import ServiceHealth
from schemas.topics import BASELINES_TABLE, HOURS_TABLE
from streams.baselines.hour_cells import HourCells
from streams.judging import JudgeFold, JudgeMemory
from topologies.deviating import DeviationLane, DeviationStage
from topologies.lanes import Lane
from topologies.tables import StateTable, state_table
from topologies.warm_start import Newcomer, WarmStarts
from topologies.wiring import Wiring, count_losses

STAGE = "baselines"

MOST_UNPACKED = 1000
"""Services of a partition whose hours are at hand, those heard of last; others are unpacked when they come."""


class HourlyLane(DeviationLane):
    """As the others, and the hours of its services, unpacked: what is usual is looked up with every pane."""

    def __init__(self, stage: str, partitions: int, partition: TP) -> None:
        super().__init__(stage, partitions, partition)
        self.hours: dict[bytes, HourCells] = {}
        self.newcomers: dict[bytes, Newcomer] = {}


class Baselines(DeviationStage[HourlyLane]):
    """The baselines stage."""

    def __init__(self, wiring: Wiring, warm_starts: WarmStarts) -> None:
        fold = JudgeFold.from_settings(wiring.settings)
        super().__init__(wiring, STAGE, fold, BASELINES_TABLE, HourlyLane, shows_badges=True)
        self._judge_fold = fold
        self._warm_starts = warm_starts
        settings = wiring.settings
        self._hours: StateTable = state_table(wiring.app, HOURS_TABLE, settings.partitions, settings.state_bytes)
        wiring.app.forget.append(warm_starts.forget)

    def _step(
        self, lane: HourlyLane, key: bytes, state: bytes | None, health: ServiceHealth
    ) -> tuple[bytes, ServiceDeviations | None]:
        hours = lane.hours.pop(key, None)
        if hours is None:
            hours = HourCells.decode(self._hours.stored(key))
        lane.hours[key] = hours  # the latest is last
        history = self._warm_starts.fetch(key)
        if history is not None:
            hours.seed(history)
        if not hours.is_seeded and not health.driven:
            lane.newcomers[key] = Newcomer(health.tenant, health.service, health.pane_start_ns, health.pane_s)
        memory = JudgeMemory.decode(state, hours)
        deviations = self._judge_fold.advance(memory, health)
        count_losses(self._judge_fold.drain_losses())
        return memory.encode(), deviations

    async def _keep(self, lane: Lane[HourlyLane], states: Mapping[bytes, bytes | None]) -> None:
        """Keep the hours that changed, then the rest; then ask about services that are new."""
        changed = {key: hours.encode() for key, hours in lane.state.hours.items() if hours.changed}
        if changed:
            await self._save(self._hours, lane, changed)
            for key in changed:
                lane.state.hours[key].changed = False
        for key in list(lane.state.hours)[:-MOST_UNPACKED]:
            del lane.state.hours[key]
        await super()._keep(lane, states)
        self._warm_starts.ask(list(lane.state.newcomers.values()))
        lane.state.newcomers.clear()
