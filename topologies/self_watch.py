"""The product's alerts about itself: ingest is behind, records are missing, much is refused, names are too many.

::

    every 15 s, on the worker that reads otel.traces/0 ─▶ reconcile ─▶ decide ─▶ outbox, the operator's tenant
                                    dead letters, overflows ─┤
                                                             └─▶ metrics: lag in seconds, missing records, ingest delay

Nobody looks at the dashboard of what watches everything else. The alert goes the way of all alerts: stored with its
deliveries, then sent. What was told last is read from the stored alerts, so a restart neither repeats nor forgets it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from faust.types import TP

from schemas.errors import StoreError
from schemas.incidents import Alert, IncidentState, NotifyReason, Severity
from schemas.reconciling import PartitionAccount, Reconciliation
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.clickhouse.overflows import Overflow, overflows
from sinks.postgres import alerts
from sinks.postgres.dead_letters import recent
from sinks.postgres.outbox import enqueue
from sinks.reconciling import reconcile
from sinks.stores import Stores
from streams.self_watch import Watched, judge
from topologies import metrics
from topologies.app import StreamApp
from topologies.dispatching import receivers

log = structlog.get_logger()

LOOK_EVERY_S = 15.0
LEADER = TP(TRACES.name, 0)
"""Whoever reads this partition looks at all of them: exactly one worker does."""

DELAYED, MISSING, OVERFLOWING = "ingest-delayed", "ingest-missing", "names-overflow"
REFUSED = "telemetry-refused"
PATHS = {
    DELAYED: "/api/v1/reconcile",
    MISSING: "/api/v1/reconcile",
    OVERFLOWING: "/api/v1/services",
    REFUSED: "/api/v1/dead-letters",
}
REFUSED_MEMORY_S = 600
"""Dead letters of this long are counted together."""
OVERFLOW_MEMORY_S = 600
"""An overflow is told of as over when no pane of this long has one."""


def is_leader(app: StreamApp) -> bool:
    """Tell whether this worker does what one of them does for all."""
    return LEADER in app.assigned()


@dataclass(slots=True)
class SelfWatch:
    """Looks at the whole ingest, and tells the operator."""

    app: StreamApp
    settings: Settings
    stores: Stores
    _looks: dict[str, int] = field(default_factory=dict, init=False)
    """How many looks in a row spoke for a change. What was told is known by what is stored alone."""
    _answered_s: float = field(default_factory=time.monotonic, init=False)

    async def run(self) -> None:
        """Look for ever; a store that is away is waited for, and told of once it is back or when it takes too long."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if not is_leader(self.app):
                self._looks.clear()  # another worker's turn
                continue
            try:
                await self.look()
            except StoreError as error:
                log.warning("self_watch_not_possible", error=str(error))

    async def look(self) -> None:
        """Reconcile, set the metrics, and tell what is to be told. Raises `StoreError`."""
        try:
            found = await reconcile(self.settings, self.stores.clickhouse)
        except StoreError as error:
            await self._judge_delay(time.monotonic() - self._answered_s, f"it cannot be looked at: {error}")
            raise
        self._answered_s = time.monotonic()
        _show(found)
        worst = max(found.partitions, key=lambda account: account.lag_s, default=None)
        await self._judge_delay(worst.lag_s if worst else 0.0, _waiting(found.partitions))
        await self._judge_missing(found.partitions)
        await self.judge_refused()
        await self._judge_names(await overflows(self.stores.clickhouse, OVERFLOW_MEMORY_S))

    async def _judge_delay(self, delay_s: float, why: str) -> None:
        limit_s = self.settings.ingest_delay_alert_s
        if limit_s:
            title = f"Telemetry is stored {delay_s:.0f} s late"
            await self._judge(DELAYED, delay_s, limit_s, title, why)

    async def _judge_missing(self, partitions: Sequence[PartitionAccount]) -> None:
        missing = sum(account.missing_records for account in partitions)
        title = f"{missing} records are accounted for nowhere"
        await self._judge(MISSING, missing, 0.0, title, _gaps(partitions))

    async def judge_refused(self) -> None:
        """Tell when more is refused than would be suspicious of one tenant. Raises `StoreError`.

        What nobody but its senders' mistakes can cause goes on being diverted, and somebody should know.
        """
        limit = self.settings.dead_letter_in_a_row
        if limit:
            found = await recent(self.stores.postgres, REFUSED_MEMORY_S)
            title = f"{sum(found.values())} dead letters in {REFUSED_MEMORY_S // 60} minutes"
            await self._judge(REFUSED, sum(found.values()), limit, title, _refused(found))

    async def _judge_names(self, found: Sequence[Overflow]) -> None:
        title = f"{len({one.tenant for one in found})} tenants send more names than there is room for"
        await self._judge(OVERFLOWING, len(found), 0.0, title, _crowded(found))

    async def _judge(self, name: str, value: float, limit: float, title: str, why: str) -> None:
        tenant = self.settings.operator
        last = await self._last(tenant, name)
        is_told, looks = last is not None and last.state is IncidentState.OPEN, self._looks.get(name, 0)
        watched, reason = judge(Watched(is_told, looks), value, limit)
        if reason in (NotifyReason.FIRST, NotifyReason.RESOLVED):
            await self._tell(name, reason, last, title, why)
        self._looks[name] = watched.looks  # only now: what could not be stored is told at the next look

    async def _tell(self, name: str, reason: NotifyReason, last: Alert | None, title: str, why: str) -> None:
        tenant = self.settings.operator
        at_ns = time.time_ns()
        onset_ns = last.onset_ns if last is not None and reason is NotifyReason.RESOLVED else at_ns
        alert = _alert(tenant, name, reason, at_ns, onset_ns, title, why)
        await enqueue(self.stores.postgres, alert, receivers(self.settings), at_ns)
        log.warning("self_alert", name=name, reason=reason.value, title=alert.title, why=why)

    async def _last(self, tenant: str, name: str) -> Alert | None:
        stored = await alerts.page(self.stores.postgres, tenant, incident_id=name, limit=1)
        return stored[0].alert if stored else None


def _alert(tenant: str, name: str, reason: NotifyReason, at_ns: int, onset_ns: int, title: str, why: str) -> Alert:
    is_over = reason is NotifyReason.RESOLVED
    return Alert(
        alert_id=f"{name}-{hashlib.sha256(f'{onset_ns}{reason}'.encode()).hexdigest()[:16]}",
        tenant=tenant,
        incident_id=name,
        reason=reason,
        state=IncidentState.RESOLVED if is_over else IncidentState.OPEN,
        severity=Severity.HIGH,
        title="Telemetry is stored in time again" if is_over and name == DELAYED else title,
        summary=why,
        at_ns=at_ns,
        onset_ns=onset_ns,
        services=[],
        path=PATHS[name],
    )


def _show(found: Reconciliation) -> None:
    for account in found.partitions:
        place = (account.topic, str(account.partition))
        metrics.LAG_SECONDS.labels(*place).set(account.lag_s)
        metrics.UNACCOUNTED.labels(*place).set(account.missing_records)
    for tenant in found.tenants:
        if tenant.ingest_delay_s is not None:
            metrics.INGEST_DELAY.labels(metrics.tenant_label(tenant.tenant), tenant.topic).set(tenant.ingest_delay_s)


def _waiting(partitions: Sequence[PartitionAccount]) -> str:
    behind = sorted((one for one in partitions if one.lag_records), key=lambda one: -one.lag_s)
    named = ", ".join(f"{one.topic}/{one.partition}: {one.lag_records} records" for one in behind[:5])
    return (
        f"waiting to be stored: {named or 'nothing'}. Look at workers and stores; nothing is lost while Kafka has it."
    )


def _refused(found: Mapping[str, int]) -> str:
    most = sorted(found.items(), key=lambda item: -item[1])[:5]
    named = ", ".join(f"{tenant}: {count}" for tenant, count in most)
    return f"by tenant: {named or 'none'}. `incidentscope dlq list` says why; what is refused can be sent again."


def _crowded(found: Sequence[Overflow]) -> str:
    named = ", ".join(
        f"{one.kind} of {one.tenant}{'/' if one.service else ''}{one.service} ({one.most_requests} requests a window)"
        for one in found[:5]
    )
    return (
        f"beyond their caps: {named or 'none'}. Their counts are kept together as __overflow__; "
        "`incidentscope operations` shows what a name could be folded into."
    )


def _gaps(partitions: Sequence[PartitionAccount]) -> str:
    gaps = [(one, gap) for one in partitions for gap in one.gaps]
    named = ", ".join(
        f"{one.topic}/{one.partition}: {gap.first_offset} to {gap.last_offset} ({gap.cause})" for one, gap in gaps[:5]
    )
    return f"offsets: {named or 'none'}. `incidentscope reconcile` lists all."
