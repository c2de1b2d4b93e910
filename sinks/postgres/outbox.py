"""The outbox: an alert is stored with its deliveries first and sent afterwards, so no crash loses or forgets one.

::

    enqueue ──▶ pending ──claim──▶ (leased) ──mark_delivered──▶ delivered
                   ▲                  ├─mark_failed─▶ pending again, later   (or dead after the last attempt)
                   └──lease ran out───┘
    no receiver for people at all ──▶ no_receiver

Delivery is at least once: a process that dies between the receiver's answer and `mark_delivered` sends again,
with the same alert id. The wall clock is handed in as ``wall_ns``.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ValidationError

from schemas.incidents import Alert
from sinks.postgres.documents import clean, document
from sinks.postgres.pool import Connection, Pool, translated

TOPIC_RECEIVER: Final = "topic"
"""The receiver that stands for the ``alerts`` topic. Machines read it; it wakes nobody."""

NOBODY: Final = "nobody"
"""The receiver name of the trace that an alert without any receiver for people leaves."""

Status = Literal["pending", "delivered", "dead", "no_receiver"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits of ``first_s`` x 2^n, at most ``longest_s``, each shortened by up to half; about 3 h in all by default."""

    first_s: float = 2.0
    longest_s: float = 900.0
    attempts: int = 20

    def wait_s(self, delivery: str, attempt: int) -> float:
        """Return the wait after failed ``attempt`` (1 is the first).

        The jitter comes from the delivery's name, so the same case waits the same and many cases spread.
        """
        full_s = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 60))
        digest = hashlib.sha256(f"{delivery}:{attempt}".encode()).digest()
        return full_s * (0.5 + int.from_bytes(digest[:4], "big") / 2**33)


DEFAULT_RETRIES: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until the lease runs out. ``attempt`` is 1 at first."""

    tenant: str
    alert_id: str
    receiver: str
    attempt: int
    lease: uuid.UUID
    alert: Alert | None
    """None: this version cannot read what another has stored. That must not hold up the others."""

    @property
    def name(self) -> str:
        """What this delivery is called in logs and in the jitter."""
        return f"{self.tenant}/{self.alert_id}/{self.receiver}"


async def enqueue(pool: Pool, alert: Alert, receivers: Iterable[str], wall_ns: int) -> bool:
    """Store the alert and a pending delivery for each receiver. A known ``alert_id`` changes nothing.

    When no receiver but the topic takes it, a delivery to `NOBODY` with status ``no_receiver`` says so.
    Returns whether the alert is new.
    """
    names = sorted({clean(receiver) for receiver in receivers})
    with translated("storing an alert"):
        async with pool.acquire() as connection, connection.transaction():
            if not await _insert(connection, alert):
                return False
            rows = [(alert.tenant, alert.alert_id, name, "pending", wall_ns) for name in names]
            if not set(names) - {TOPIC_RECEIVER}:
                rows.append((alert.tenant, alert.alert_id, NOBODY, "no_receiver", wall_ns))
            await connection.executemany(
                "INSERT INTO alert_deliveries (tenant, alert_id, receiver, status, next_attempt_ns)"
                " VALUES ($1, $2, $3, $4, $5)",
                rows,
            )
    return True


async def _insert(connection: Connection, alert: Alert) -> bool:
    row = await connection.fetchrow(
        "INSERT INTO alerts (tenant, alert_id, incident_id, at_ns, document) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (tenant, alert_id) DO NOTHING RETURNING alert_id",
        alert.tenant,
        alert.alert_id,
        alert.incident_id,
        alert.at_ns,
        document(alert),
    )
    return row is not None


# The lease is the next attempt's time: a claimer that dies is simply overdue again when it has passed.
_CLAIM = """
WITH due AS (
    SELECT tenant, alert_id, receiver FROM alert_deliveries
    WHERE status = 'pending' AND next_attempt_ns <= $1
    ORDER BY next_attempt_ns LIMIT $2
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE alert_deliveries d SET attempts = attempts + 1, lease = $3, next_attempt_ns = $4
    FROM due WHERE (d.tenant, d.alert_id, d.receiver) = (due.tenant, due.alert_id, due.receiver)
    RETURNING d.tenant, d.alert_id, d.receiver, d.attempts
), logged AS (
    INSERT INTO alert_attempts (tenant, alert_id, receiver, attempt, started_ns, outcome)
    SELECT tenant, alert_id, receiver, attempts, $1, 'started' FROM claimed
)
SELECT c.tenant, c.alert_id, c.receiver, c.attempts, a.document FROM claimed c JOIN alerts a USING (tenant, alert_id)
ORDER BY a.at_ns, a.alert_id, c.receiver
"""

# Deliveries whose last attempt ended with its process: nobody is left to call them dead.
_BURY = """
UPDATE alert_deliveries SET status = 'dead', lease = NULL, finished_ns = $1,
    detail = 'the last attempt was never finished'
WHERE status = 'pending' AND next_attempt_ns <= $1 AND attempts >= $2
"""


async def claim(
    pool: Pool, wall_ns: int, *, limit: int = 16, lease_s: float = 60.0, retries: RetryPolicy = DEFAULT_RETRIES
) -> list[Claim]:
    """Take up to ``limit`` due deliveries of all tenants; others will not get them before the lease has run out.

    ``lease_s`` must exceed the time that one batch of attempts can take.
    """
    lease = uuid.uuid4()
    with translated("claiming deliveries"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_BURY, wall_ns, retries.attempts)
            rows = await connection.fetch(_CLAIM, wall_ns, limit, lease, wall_ns + round(lease_s * 1e9))
    return [
        Claim(row["tenant"], row["alert_id"], row["receiver"], row["attempts"], lease, _read(row["document"]))
        for row in rows
    ]


def _read(stored: str) -> Alert | None:
    try:
        return Alert.model_validate_json(stored)
    except ValidationError:
        return None


_FINISH_ATTEMPT = """
UPDATE alert_attempts SET outcome = $5, finished_ns = $6, status_code = $7, detail = $8
WHERE tenant = $1 AND alert_id = $2 AND receiver = $3 AND attempt = $4
"""


async def mark_delivered(pool: Pool, claimed: Claim, wall_ns: int, *, status_code: int | None = None) -> None:
    """Note that the receiver has it. This holds even when the lease has run out meanwhile: it has it."""
    with translated("noting a delivery"):
        async with pool.acquire() as connection, connection.transaction():
            await _finish_attempt(connection, claimed, "delivered", wall_ns, status_code, "")
            await connection.execute(
                "UPDATE alert_deliveries SET status = 'delivered', lease = NULL, finished_ns = $4, detail = ''"
                " WHERE tenant = $1 AND alert_id = $2 AND receiver = $3 AND status <> 'delivered'",
                *_key(claimed),
                wall_ns,
            )


async def mark_failed(
    pool: Pool,
    claimed: Claim,
    wall_ns: int,
    detail: str,
    *,
    status_code: int | None = None,
    final: bool = False,
    retry_after_s: float | None = None,
    retries: RetryPolicy = DEFAULT_RETRIES,
) -> Status:
    """Note a failed attempt and plan the next; ``final`` or the last attempt makes the delivery ``dead``.

    ``retry_after_s`` is the receiver's wish, heard up to the longest wait. When the lease has run out and
    somebody else has claimed the delivery, only the log is written. Returns the delivery's status.
    """
    dead = final or claimed.attempt >= retries.attempts
    wait_s = max(retries.wait_s(claimed.name, claimed.attempt), min(retry_after_s or 0.0, retries.longest_s))
    detail = clean(detail)[:500]
    with translated("noting a failed delivery"):
        async with pool.acquire() as connection, connection.transaction():
            await _finish_attempt(connection, claimed, "refused" if final else "failed", wall_ns, status_code, detail)
            await connection.execute(
                "UPDATE alert_deliveries SET status = $5, lease = NULL, next_attempt_ns = $6, finished_ns = $7,"
                " detail = $8 WHERE tenant = $1 AND alert_id = $2 AND receiver = $3 AND lease = $4",
                *_key(claimed),
                claimed.lease,
                "dead" if dead else "pending",
                wall_ns + round(wait_s * 1e9),
                wall_ns if dead else None,
                detail,
            )
            status: Status = await connection.fetchval(
                "SELECT status FROM alert_deliveries WHERE tenant = $1 AND alert_id = $2 AND receiver = $3",
                *_key(claimed),
            )
    return status


def _key(claimed: Claim) -> tuple[str, str, str]:
    return claimed.tenant, claimed.alert_id, claimed.receiver


async def _finish_attempt(
    connection: Connection, claimed: Claim, outcome: str, wall_ns: int, status_code: int | None, detail: str
) -> None:
    values = (*_key(claimed), claimed.attempt, outcome, wall_ns, status_code, detail)
    await connection.execute(_FINISH_ATTEMPT, *values)


async def depth(pool: Pool) -> dict[Status, int]:
    """Return the number of deliveries in each status, over all tenants, for /metrics."""
    with translated("counting deliveries"):
        rows = await pool.fetch("SELECT status, count(*) FROM alert_deliveries GROUP BY status")
    found: dict[Status, int] = {"pending": 0, "delivered": 0, "dead": 0, "no_receiver": 0}
    return found | {row["status"]: row["count"] for row in rows}
