"""Copy the evidence of an incident out of raw telemetry before retention deletes it.

::

    ranking ─▶ moments (opening, peak) ─▶ plan ─┬─ traces ◀────────── ClickHouse
                                                ├─ attribute counts ◀─┤
                                                ├─ metric points ◀────┤
                                                ├─ users hit ◀────────┘
                                                └─▶ PostgreSQL
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from schemas.errors import StoreRejected
from schemas.incidents import HypothesisSet
from schemas.losses import LossReason
from schemas.pins import PinnedEvidence, PinnedTrace, PinPlan, ServiceContrast, ServiceMetrics, TracePick, UsersHit
from schemas.snapshots import RankingSnapshot
from sinks.clickhouse.attribute_reads import COUNTS, asked_of, attribute_counts
from sinks.clickhouse.metric_reads import POINTS, metric_series, points_of
from sinks.clickhouse.raw_reads import trace
from sinks.clickhouse.user_reads import USERS, user_count, users_of
from sinks.postgres import pins
from sinks.stores import Stores
from streams.contrasts import contrasts_of
from streams.hypotheses.pinning import moments_of, plan_of, strength_of
from streams.points import off_metrics
from streams.windows import Loss
from topologies.patience import insist
from topologies.wiring import count_losses

log = structlog.get_logger()

MOST_SPANS = 500
"""Spans of one pinned trace."""

TRACE_BYTES = 2 << 20
"""Of one pinned trace, as it is stored: what its spans share, each has."""

TRACES_BYTES = 8 << 20
"""Of all traces pinned at one moment, as they are kept."""

BEFORE_NS = 600 * 1_000_000_000
"""How long before the onset requests are counted as normal ones."""

METRICS_BEFORE_NS = 3 * 3600 * 1_000_000_000
"""How far back a metric's past is read: at one point a minute enough to know it by."""

_MOST_KNOWN = 1_000


class Pinner:
    """Pins the evidence of the incidents of one desk."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._strengths: dict[tuple[str, str], float] = {}
        """Of the peak that is kept, by tenant and incident. What is forgotten here the store still knows."""

    async def pin(self, ranking: HypothesisSet, snapshot: RankingSnapshot, wanted: Callable[[], bool]) -> None:
        """Pin what this ranking calls for. Raises `LaneEndedError` when it is not ``wanted`` any more."""
        key = (ranking.tenant, ranking.incident_id)
        moments = moments_of(ranking, self._strengths.get(key))
        if not moments:
            return
        plan = plan_of(ranking, snapshot, moments[0])
        pinned = await self._collect(plan, wanted)
        for moment in moments:
            await self._keep(plan, pinned.model_copy(update={"moment": moment}), wanted)
        self._remember(key, strength_of(ranking))
        log.info("pinned", tenant=plan.tenant, incident=plan.incident_id, moments=moments, traces=len(pinned.traces))

    async def _keep(self, plan: PinPlan, pinned: PinnedEvidence, wanted: Callable[[], bool]) -> None:
        """Keep the evidence; what the store refuses is counted: rankings of all tenants wait behind this one."""
        keep = partial(pins.keep, self._stores.postgres, plan.tenant, plan.incident_id, plan.strength, pinned)
        try:
            await insist("postgres", "pin", keep, wanted)
        except StoreRejected as error:
            count_losses([Loss(plan.tenant, LossReason.PIN_OVERFLOW, len(pinned.traces))])
            log.error("evidence_not_pinned", tenant=plan.tenant, incident=plan.incident_id, error=str(error))

    async def _collect(self, plan: PinPlan, wanted: Callable[[], bool]) -> PinnedEvidence:
        traces = await self._traces(plan, wanted)
        contrasts = [await self._contrast(plan, service, wanted) for service in plan.suspects]
        metrics = [await self._metrics(plan, service, wanted) for service in plan.suspects]
        return PinnedEvidence(
            moment=plan.moment, version=plan.version, as_of_ns=plan.as_of_ns,
            traces=traces,
            contrasts=[one for one in contrasts if one is not None],
            metrics=[one for one in metrics if one is not None], users=await self._users(plan, wanted),
            graph=plan.graph, evidence=plan.evidence,
        )  # fmt: skip

    async def _traces(self, plan: PinPlan, wanted: Callable[[], bool]) -> list[PinnedTrace]:
        """Return the traces that are there, as far as there is room for them, those picked first before others."""
        kept, left_bytes, lost = list[PinnedTrace](), TRACES_BYTES, 0
        for pick in plan.picks:
            found = await self._copy(plan, pick, wanted)
            if found is None:
                continue
            size_bytes = await asyncio.to_thread(_size_bytes, found)
            lost += found.trace.truncated or size_bytes > left_bytes
            if size_bytes <= left_bytes:
                kept.append(found)
                left_bytes -= size_bytes
        count_losses([Loss(plan.tenant, LossReason.PIN_OVERFLOW, lost)] if lost else [])
        return kept

    async def _copy(self, plan: PinPlan, pick: TracePick, wanted: Callable[[], bool]) -> PinnedTrace | None:
        """Return the trace with its first spans; None when it is not there (yet), or the store refuses to read it."""
        read = partial(trace, self._stores.clickhouse, plan.tenant, pick.trace_id, MOST_SPANS, TRACE_BYTES)
        try:
            found = await insist("clickhouse", "trace", read, wanted)
        except StoreRejected as error:
            log.warning("trace_not_pinned", tenant=plan.tenant, trace_id=pick.trace_id, error=str(error))
            return None
        return None if found is None else PinnedTrace(role=pick.role, service=pick.service, trace=found)

    async def _contrast(self, plan: PinPlan, service: str, wanted: Callable[[], bool]) -> ServiceContrast | None:
        """Return what sets the service's bad requests apart; None when nothing does or it takes too long to count."""
        asked = asked_of(plan.tenant, service, plan.onset_ns - BEFORE_NS, plan.onset_ns, plan.as_of_ns)
        count = partial(attribute_counts, self._stores.clickhouse, asked)
        try:
            found = contrasts_of(await insist("clickhouse", "attributes", count, wanted))
        except StoreRejected as error:
            log.warning("attributes_not_compared", tenant=plan.tenant, service=service, error=str(error))
            return None
        return ServiceContrast(service=service, attributes=found, query=COUNTS, parameters=asked) if found else None

    async def _metrics(self, plan: PinPlan, service: str, wanted: Callable[[], bool]) -> ServiceMetrics | None:
        """Return which of the service's metrics went off their past; None when none did or reading takes too long."""
        asked = points_of(plan.tenant, service, plan.onset_ns - METRICS_BEFORE_NS, plan.as_of_ns)
        read = partial(metric_series, self._stores.clickhouse, asked)
        try:
            series = await insist("clickhouse", "metrics", read, wanted)
        except StoreRejected as error:
            log.warning("metrics_not_looked_at", tenant=plan.tenant, service=service, error=str(error))
            return None
        found = await asyncio.to_thread(off_metrics, series, plan.onset_ns)
        return ServiceMetrics(service=service, metrics=found, query=POINTS, parameters=asked) if found else None

    async def _users(self, plan: PinPlan, wanted: Callable[[], bool]) -> UsersHit | None:
        """Return how many users are hit; None when no span names any or counting takes too long."""
        asked = users_of(plan.tenant, plan.suspects, plan.onset_ns - BEFORE_NS, plan.onset_ns, plan.as_of_ns)
        count = partial(user_count, self._stores.clickhouse, asked)
        try:
            found = await insist("clickhouse", "users", count, wanted)
        except StoreRejected as error:
            log.warning("users_not_counted", tenant=plan.tenant, incident=plan.incident_id, error=str(error))
            return None
        return UsersHit(users=found.users, hit=found.hit, query=USERS, parameters=asked) if found.users else None

    def _remember(self, key: tuple[str, str], strength: float) -> None:
        self._strengths.pop(key, None)
        self._strengths[key] = strength
        if len(self._strengths) > _MOST_KNOWN:
            del self._strengths[next(iter(self._strengths))]


def _size_bytes(found: PinnedTrace) -> int:
    return len(found.model_dump_json().encode())
