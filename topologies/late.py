"""Late data becomes new revisions of its panes, measured again from what is stored.

::

    telemetry.late ─▶ take ─┬─ Progress of health ─▶ clock
      (by tenant)           └─ LateNotice ─────────▶ LateQueue ─▶ due? ─▶ read spans and logs ─▶ measure
                                                                              │
                                          changed? ─▶ ClickHouse panes: revision + 1, cause late (awaited) ─▶ floor

A measurement that finds less than was told live is not believed: something of the pane is still on its way to the
store, and it is tried again. Revisions are for those who look back: baselines and incidents have moved on and are not
told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from faust.types import TP

from schemas.errors import BadPayload
from schemas.health import ServiceHealth
from schemas.keys import PROGRESS_KEY
from schemas.losses import LossReason
from schemas.topics import LATE, ROLLUPS, sources
from sinks.clickhouse.late_reads import Amount, EventRange, amounts_within, logs_within, related_panes, spans_within
from sinks.clickhouse.pane_revisions import StoredPane, emptied, items_in, revised, stored_panes, told_by
from streams.late import LateNotice, LateQueue
from streams.otlp.rebuilding import KEYS, rebuild_logs, rebuild_spans
from streams.progress import Progress, ProgressClock
from streams.remeasuring import measure, reach_of, touched_panes
from streams.windows import SECOND_NS, Loss
from topologies import metrics
from topologies.app import add_stage
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.progressing import Pacer
from topologies.wiring import Wiring, count_losses

log = structlog.get_logger()

STAGE = "late"
BATCH = 128
WITHIN_S = 1.0
MEASURE_EVERY_S = 2.0
MAX_PANES = 10_000
PANES_AT_ONCE = 6
NEAR_PANES = 30
"""Late panes measured together lie within so many panes: what is read must stay small."""

MOST_BYTES = 128 << 20
"""Of what is read to measure panes again, spans and log records together, as ClickHouse holds it."""

TRIES = 30
"""Measurements that find too little, before a pane is given up and counted."""

Told = dict[tuple[str, int], StoredPane]


class LateLane:
    """The panes of one partition's tenants that wait, and the clock that lets them go."""

    def __init__(self, wiring: Wiring, _partition: TP) -> None:
        settings = wiring.settings
        self.clock = ProgressClock(sources(ROLLUPS, settings.partitions))
        self.queue = LateQueue(wiring.windows, round(settings.remeasure_wait_s * SECOND_NS), MAX_PANES)
        self.due = Pacer(MEASURE_EVERY_S)
        self.tries: dict[tuple[str, int], int] = {}

    def take(self, records: Sequence[Record]) -> None:
        """Fold a batch. Our own records: one that cannot be read is a loss to be seen, not to die of."""
        for record in records:
            try:
                if record.key == PROGRESS_KEY:
                    self.clock.step(Progress.decode(record.value or b""))
                else:
                    self._queue(LateNotice.decode(record.value or b""), record.offset)
            except BadPayload as error:
                log.error("late_notice_unreadable", offset=record.offset, detail=error.detail)
        count_losses(self.clock.drain_losses())

    def _queue(self, notice: LateNotice, offset: int) -> None:
        if notice.driven:
            self.clock.mark_driven(notice.tenant)
        if not self.queue.step(notice, offset):
            count_losses([Loss(notice.tenant, LossReason.REMEASURE_OVERFLOW, sum(notice.services.values()))])


class Late:
    """The stage that measures panes again."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        app = wiring.app
        self._lanes: Lanes[LateLane] = Lanes(
            STAGE, [LATE.name], app.floors, app.generation, lambda place: LateLane(wiring, place), app.committed
        )
        app.forget.append(self._lanes.clear)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        app = self._wiring.app
        return add_stage(app, STAGE, [LATE.name], self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel)

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of notices and progress, and measure what is due."""
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                lane.state.take(records)
                if lane.state.due.due():
                    await self._measure_due(lane)
                metrics.LATE_PANES.labels(str(lane.partition.partition)).set(len(lane.state.queue))
                self._lanes.report(lane, lane.state.queue.lowest_needed_offset())

    async def _measure_due(self, lane: Lane[LateLane]) -> None:
        state = lane.state
        found = state.queue.due(state.clock, PANES_AT_ONCE)
        pane_ns = self._wiring.windows.pane_ns
        near = [one for one in found if one.pane_start_ns - found[0].pane_start_ns < NEAR_PANES * pane_ns]
        if not near:
            return
        is_done = await self._measure(lane, near)
        for notice in near:
            key = (notice.tenant, notice.pane_start_ns)
            state.tries[key] = state.tries.get(key, 0) + 1
            if is_done or state.tries[key] >= TRIES:
                state.queue.done([notice])
                del state.tries[key]
                if not is_done:
                    self._give_up(notice, LossReason.REMEASURE_INCOMPLETE)

    async def _measure(self, lane: Lane[LateLane], notices: list[LateNotice]) -> bool:
        """Measure the panes again and store what has changed; return False when something is not stored yet."""
        started_s, tenant, windows = time.monotonic(), notices[0].tenant, self._wiring.windows
        panes = await self._touched(lane, tenant, [notice.pane_start_ns for notice in notices])
        read = await self._read(lane, tenant, panes)
        if read is None:
            for notice in notices:
                self._give_up(notice, LossReason.REMEASURE_TOO_LARGE)
            return True
        pictures = await asyncio.to_thread(_measured, tenant, read, panes, windows)
        clickhouse, wanted = self._wiring.stores.clickhouse, self._lanes.wanted(lane)
        told: Told = await insist("clickhouse", "told", partial(stored_panes, clickhouse, tenant, panes), wanted)
        if not _is_complete(pictures, told):
            log.info("late_pane_not_complete", tenant=tenant, pane_start_ns=notices[0].pane_start_ns)
            return False
        news = _changed(tenant, pictures, told)
        if news:
            await insist("clickhouse", "panes", lambda: self._wiring.panes.write_panes(news), wanted)
        metrics.REVISIONS.labels(metrics.tenant_label(tenant)).inc(len(news))
        log.info(
            "late_panes_measured",
            tenant=tenant,
            panes=len(panes),
            revisions=len(news),
            items=sum(sum(notice.services.values()) for notice in notices),
            seconds=round(time.monotonic() - started_s, 2),
        )
        return True

    async def _touched(self, lane: Lane[LateLane], tenant: str, late: list[int]) -> list[int]:
        clickhouse, windows = self._wiring.stores.clickhouse, self._wiring.windows
        near = self._range(tenant, min(late) - windows.reach_ns, max(late) + windows.pane_ns + windows.reach_ns)
        read = partial(related_panes, clickhouse, near, late, windows.pane_ns)
        return touched_panes(late, await insist("clickhouse", "related", read, self._lanes.wanted(lane)), windows)

    async def _read(
        self, lane: Lane[LateLane], tenant: str, panes: list[int]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
        """Return the spans and log records that the panes need, or None when that is too much."""
        clickhouse, wanted = self._wiring.stores.clickhouse, self._lanes.wanted(lane)
        reach = reach_of(panes[0], panes[-1], self._wiring.windows)
        within, limit = self._range(tenant, reach.start_ns, reach.end_ns), self._wiring.settings.remeasure_max_items
        weigh = partial(amounts_within, clickhouse, within, KEYS, limit + 1)
        amounts = await insist("clickhouse", "amounts", weigh, wanted)
        if is_too_much(amounts, limit):
            return None
        spans = await insist("clickhouse", "spans", partial(spans_within, clickhouse, within, KEYS, limit), wanted)
        logs = await insist("clickhouse", "logs", partial(logs_within, clickhouse, within, KEYS, limit), wanted)
        return spans, logs

    def _range(self, tenant: str, start_ns: int, end_ns: int) -> EventRange:
        windows = self._wiring.windows
        return EventRange(tenant, start_ns, end_ns, windows.past_ns, windows.future_ns)

    def _give_up(self, notice: LateNotice, reason: LossReason) -> None:
        items = sum(notice.services.values())
        count_losses([Loss(notice.tenant, reason, items)])
        log.warning("late_pane_given_up", tenant=notice.tenant, pane_start_ns=notice.pane_start_ns, items=items)


def is_too_much(amounts: Sequence[Amount], most_items: int) -> bool:
    """Tell whether spans and log records are more than are read to measure panes again, in number or in bytes."""
    return max(one.items for one in amounts) > most_items or sum(one.size_bytes for one in amounts) > MOST_BYTES


def _measured(
    tenant: str, read: tuple[list[dict[str, Any]], list[dict[str, Any]]], panes: list[int], windows: Any
) -> list[ServiceHealth]:
    spans, logs = read
    return measure(tenant, rebuild_spans(spans), rebuild_logs(logs), panes, windows)


def _is_complete(pictures: Sequence[ServiceHealth], told: Told) -> bool:
    """Tell whether everything told live was found again: what is stored can only be more."""
    found = {(picture.service, picture.pane_start_ns): items_in(picture) for picture in pictures}
    return all(found.get(key, 0) >= stored.items() for key, stored in told.items())


def _changed(tenant: str, pictures: Sequence[ServiceHealth], told: Told) -> list[ServiceHealth]:
    """Return the next revisions of those panes that are to be told differently."""
    news = [
        revised(picture, told.get((picture.service, picture.pane_start_ns)))
        for picture in pictures
        if (stored := told.get((picture.service, picture.pane_start_ns))) is None or stored.told() != told_by(picture)
    ]
    measured = {(picture.service, picture.pane_start_ns) for picture in pictures}
    for (service, pane_start_ns), stored in told.items():
        blank = emptied(tenant, service, pane_start_ns, stored)
        if (service, pane_start_ns) not in measured and stored.told() != told_by(blank):
            news.append(revised(blank, stored))
    return news
