"""Incidents: current state and timeline.

`apply_event` is idempotent and does not mind the order: an event that is known changes nothing, and the
state is always that of the event with the largest sequence, so a replay ends where the first run ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from schemas.errors import NotFound
from schemas.incidents import IncidentEvent, IncidentState, Severity
from sinks.postgres.documents import clean, document, int64
from sinks.postgres.pool import Connection, Pool, translated

Position = tuple[int, str]
"""Where a page ended: ``(onset_ns, incident_id)`` of its last row."""

_NUMBER = re.compile(r"INC-([1-9]\d{0,17})")


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as it is now. ``current`` is its newest event, which carries the whole incident."""

    number: int
    opened_ns: int
    updated_ns: int
    resolved_ns: int | None
    current: IncidentEvent

    @property
    def name(self) -> str:
        """What people call it: ``INC-7``."""
        return f"INC-{self.number}"

    @property
    def position(self) -> Position:
        """Where a page that ends with this incident continues."""
        return self.current.onset_ns, self.current.incident_id


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Which incidents: empty means all. ``since_ns <= onset < until_ns``."""

    states: Sequence[IncidentState] = ()
    severities: Sequence[Severity] = ()
    service: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None


async def apply_event(pool: Pool, event: IncidentEvent) -> bool:
    """Append the event to its incident's timeline and bring the incident up to date, in one transaction.

    Returns whether the event is new; a known ``event_id`` changes nothing.
    """
    with translated("applying an incident event"):
        async with pool.acquire() as connection, connection.transaction():
            if not await _append(connection, event):
                return False
            if not await _update(connection, event):
                await _insert(connection, event)
    return True


_APPEND = """
INSERT INTO incident_events (tenant, event_id, incident_id, sequence, kind, at_ns, document)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant, event_id) DO NOTHING
RETURNING event_id
"""


async def _append(connection: Connection, event: IncidentEvent) -> bool:
    row = await connection.fetchrow(
        _APPEND,
        event.tenant,
        event.event_id,
        event.incident_id,
        event.sequence,
        event.kind,
        event.at_ns,
        document(event),
    )
    return row is not None


# $1 tenant, $2 id, $3 sequence, $4 state, $5 severity, $6 onset, $7 at, $8 resolved, $9 services, $10 document.
# An older event still says when the incident was opened, and nothing else.
_UPDATE = """
UPDATE incidents SET
    opened_ns = least(opened_ns, $7),
    sequence = greatest(sequence, $3),
    state = CASE WHEN sequence < $3 THEN $4 ELSE state END,
    severity = CASE WHEN sequence < $3 THEN $5 ELSE severity END,
    onset_ns = CASE WHEN sequence < $3 THEN $6 ELSE onset_ns END,
    updated_ns = CASE WHEN sequence < $3 THEN $7 ELSE updated_ns END,
    resolved_ns = CASE WHEN sequence < $3 THEN $8 ELSE resolved_ns END,
    services = CASE WHEN sequence < $3 THEN $9::text[] ELSE services END,
    document = CASE WHEN sequence < $3 THEN $10::jsonb ELSE document END
WHERE tenant = $1 AND incident_id = $2
RETURNING incident_id
"""

_NEXT_NUMBER = """
INSERT INTO incident_numbers AS n (tenant, last_number) VALUES ($1, 1)
ON CONFLICT (tenant) DO UPDATE SET last_number = n.last_number + 1
RETURNING last_number
"""

_INSERT = """
INSERT INTO incidents (tenant, incident_id, sequence, state, severity, onset_ns, opened_ns, updated_ns, resolved_ns,
                       services, document, number)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11)
ON CONFLICT (tenant, incident_id) DO NOTHING
RETURNING incident_id
"""


def _row(event: IncidentEvent) -> tuple[Any, ...]:
    resolved_ns = event.at_ns if event.state in (IncidentState.RESOLVED, IncidentState.CLOSED) else None
    services = [clean(entry.service) for entry in event.services]
    head = (event.tenant, event.incident_id, event.sequence, event.state.value, event.severity.value)
    return (*head, event.onset_ns, event.at_ns, resolved_ns, services, document(event))


async def _update(connection: Connection, event: IncidentEvent) -> bool:
    return await connection.fetchrow(_UPDATE, *_row(event)) is not None


async def _insert(connection: Connection, event: IncidentEvent) -> None:
    # The counter's row lock also makes a second worker wait that inserts the same incident at this moment.
    number = await connection.fetchval(_NEXT_NUMBER, event.tenant)
    if await connection.fetchrow(_INSERT, *_row(event), number) is None:
        await _update(connection, event)


_COLUMNS = "number, opened_ns, updated_ns, resolved_ns, document"


def _incident(row: asyncpg.Record) -> Incident:
    current = IncidentEvent.model_validate_json(row["document"])
    return Incident(row["number"], row["opened_ns"], row["updated_ns"], row["resolved_ns"], current)


async def get(pool: Pool, tenant: str, incident: str) -> Incident:
    """Return one incident by its id or by its name (``INC-7``). Raises `NotFound`."""
    named = _NUMBER.fullmatch(incident)
    column, value = ("number", int(named[1])) if named else ("incident_id", clean(incident))
    with translated("reading an incident"):
        row = await pool.fetchrow(
            f"SELECT {_COLUMNS} FROM incidents WHERE tenant = $1 AND {column} = $2",  # noqa: S608 - one of two names
            tenant,
            value,
        )
    if row is None:
        raise NotFound(f"no incident {incident}")
    return _incident(row)


_PAGE = f"""
SELECT {_COLUMNS} FROM incidents
WHERE tenant = $1
  AND ($2::text[] IS NULL OR state = ANY($2))
  AND ($3::text[] IS NULL OR severity = ANY($3))
  AND ($4::text IS NULL OR services @> ARRAY[$4::text])
  AND ($5::bigint IS NULL OR onset_ns >= $5)
  AND ($6::bigint IS NULL OR onset_ns < $6)
  AND ($7::bigint IS NULL OR (onset_ns, incident_id) < ($7, $8::text))
ORDER BY onset_ns DESC, incident_id DESC
LIMIT $9
"""  # noqa: S608 - no value is put into the text


async def page(
    pool: Pool, tenant: str, which: IncidentFilter | None = None, *, after: Position | None = None, limit: int = 50
) -> list[Incident]:
    """Return up to ``limit`` incidents, latest onset first, that come after the position ``after``."""
    which = which or IncidentFilter()
    after_ns, after_id = after or (None, None)
    with translated("listing incidents"):
        rows = await pool.fetch(
            _PAGE,
            tenant,
            [state.value for state in which.states] or None,
            [severity.value for severity in which.severities] or None,
            None if which.service is None else clean(which.service),
            int64(which.since_ns),
            int64(which.until_ns),
            int64(after_ns),
            None if after_id is None else clean(after_id),
            limit,
        )
    return [_incident(row) for row in rows]


async def count_by_state(pool: Pool, tenant: str) -> dict[IncidentState, int]:
    """Return how many incidents are in each state; every state is there, also with 0."""
    with translated("counting incidents"):
        rows = await pool.fetch("SELECT state, count(*) FROM incidents WHERE tenant = $1 GROUP BY state", tenant)
    return dict.fromkeys(IncidentState, 0) | {IncidentState(row["state"]): row["count"] for row in rows}


_TIMELINE = """
SELECT document FROM incident_events
WHERE tenant = $1 AND incident_id = $2 AND sequence > $3
ORDER BY sequence LIMIT $4
"""


async def timeline(
    pool: Pool, tenant: str, incident_id: str, *, after_sequence: int = -1, limit: int = 500
) -> list[IncidentEvent]:
    """Return what happened to an incident, in order, after the event numbered ``after_sequence``.

    Raises `NotFound` when the tenant has no such incident.
    """
    with translated("reading a timeline"):
        rows = await pool.fetch(_TIMELINE, tenant, clean(incident_id), int64(after_sequence), limit)
    if not rows:
        await get(pool, tenant, incident_id)
    return [IncidentEvent.model_validate_json(row["document"]) for row in rows]
