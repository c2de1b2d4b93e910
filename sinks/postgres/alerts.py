"""Alerts as readers see them: with every receiver's delivery and every attempt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from schemas.errors import NotFound
from schemas.incidents import Alert
from sinks.postgres.documents import clean, int64
from sinks.postgres.outbox import Status
from sinks.postgres.pool import Pool, translated

Position = tuple[int, str]
"""Where a page ended: ``(at_ns, alert_id)`` of its last row."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. ``outcome`` is ``started`` while it runs, and for good when its process died."""

    attempt: int
    started_ns: int
    finished_ns: int | None
    outcome: str
    status_code: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One receiver of an alert. ``next_attempt_ns`` means something while pending. Wall-clock nanoseconds."""

    receiver: str
    status: Status
    attempts: int
    next_attempt_ns: int
    finished_ns: int | None
    detail: str
    log: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert and what became of it."""

    alert: Alert
    deliveries: Sequence[Delivery]

    @property
    def position(self) -> Position:
        """Where a page that ends with this alert continues."""
        return self.alert.at_ns, self.alert.alert_id


_PAGE = """
SELECT document FROM alerts
WHERE tenant = $1
  AND ($2::text IS NULL OR incident_id = $2)
  AND ($3::bigint IS NULL OR (at_ns, alert_id) < ($3, $4::text))
ORDER BY at_ns DESC, alert_id DESC
LIMIT $5
"""


async def page(
    pool: Pool, tenant: str, *, incident_id: str | None = None, after: Position | None = None, limit: int = 50
) -> list[StoredAlert]:
    """Return up to ``limit`` alerts, latest first, after position ``after``, each with its delivery log."""
    after_ns, after_id = after or (None, None)
    with translated("listing alerts"):
        rows = await pool.fetch(
            _PAGE,
            tenant,
            None if incident_id is None else clean(incident_id),
            int64(after_ns),
            None if after_id is None else clean(after_id),
            limit,
        )
    return await _with_deliveries(pool, tenant, [Alert.model_validate_json(row["document"]) for row in rows])


async def get(pool: Pool, tenant: str, alert_id: str) -> StoredAlert:
    """Return one alert with its delivery log. Raises `NotFound`."""
    with translated("reading an alert"):
        found = await pool.fetchval(
            "SELECT document FROM alerts WHERE tenant = $1 AND alert_id = $2", tenant, clean(alert_id)
        )
    if found is None:
        raise NotFound(f"no alert {alert_id}")
    return (await _with_deliveries(pool, tenant, [Alert.model_validate_json(found)]))[0]


async def _with_deliveries(pool: Pool, tenant: str, alerts: Sequence[Alert]) -> list[StoredAlert]:
    ids = [alert.alert_id for alert in alerts]
    where = "WHERE tenant = $1 AND alert_id = ANY($2::text[])"
    with translated("reading deliveries"):
        states = await pool.fetch(f"SELECT * FROM alert_deliveries {where} ORDER BY receiver", tenant, ids)  # noqa: S608
        tries = await pool.fetch(f"SELECT * FROM alert_attempts {where} ORDER BY attempt", tenant, ids)  # noqa: S608
    logs: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for row in tries:
        logs[row["alert_id"], row["receiver"]].append(_attempt(row))
    deliveries: dict[str, list[Delivery]] = defaultdict(list)
    for row in states:
        deliveries[row["alert_id"]].append(_delivery(row, logs[row["alert_id"], row["receiver"]]))
    return [StoredAlert(alert, deliveries[alert.alert_id]) for alert in alerts]


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
        row["attempt"], row["started_ns"], row["finished_ns"], row["outcome"], row["status_code"], row["detail"]
    )


def _delivery(row: asyncpg.Record, log: Sequence[Attempt]) -> Delivery:
    head = (row["receiver"], row["status"], row["attempts"], row["next_attempt_ns"], row["finished_ns"])
    return Delivery(*head, row["detail"], log)
