"""Pinned evidence: what was copied out of raw telemetry when an incident opened, and at its peak."""

from __future__ import annotations

from schemas.pins import Moment, PinnedEvidence
from sinks.postgres.documents import clean, document
from sinks.postgres.pool import Pool, translated

_KEEP = """
INSERT INTO incident_pins AS kept (tenant, incident_id, moment, strength, document) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, incident_id, moment) DO UPDATE SET strength = excluded.strength, document = excluded.document
WHERE kept.moment = 'peak' AND excluded.strength > kept.strength
RETURNING moment
"""

MOST_BYTES = 16 << 20
"""Of one moment's evidence, as it is read; what is pinned today is smaller."""

_KEPT = """
SELECT CASE WHEN octet_length(document::text) > $3 THEN jsonb_set(document, '{traces}', '[]') ELSE document END
    AS document
FROM incident_pins WHERE tenant = $1 AND incident_id = $2 ORDER BY moment
"""


async def keep(pool: Pool, tenant: str, incident_id: str, strength: float, pinned: PinnedEvidence) -> bool:
    """Keep what was pinned: at the opening once, at the peak the strongest. Returns whether it was kept."""
    values = (tenant, clean(incident_id), pinned.moment, strength, document(pinned))
    with translated("pinning evidence"):
        return await pool.fetchrow(_KEEP, *values) is not None


async def kept(pool: Pool, tenant: str, incident_id: str, most_bytes: int = MOST_BYTES) -> dict[Moment, PinnedEvidence]:
    """Return what is pinned of an incident, by moment; nothing of one that was never ranked.

    Evidence of more than ``most_bytes``, which earlier versions kept, comes without its traces.
    """
    with translated("reading pinned evidence"):
        rows = await pool.fetch(_KEPT, tenant, clean(incident_id), most_bytes)
    found = [PinnedEvidence.model_validate_json(row["document"]) for row in rows]
    return {one.moment: one for one in found}
