"""What incidents are like, and which earlier ones are like one: cosine distance in pgvector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sinks.postgres.documents import clean
from sinks.postgres.pool import Pool, translated

_KEEP = """
INSERT INTO incident_features AS kept (tenant, incident_id, version, onset_ns, features, vector)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::text::vector)
ON CONFLICT (tenant, incident_id) DO UPDATE
SET version = excluded.version, onset_ns = excluded.onset_ns, features = excluded.features, vector = excluded.vector
WHERE excluded.version > kept.version
"""

_ALIKE = """
SELECT other.incident_id, other.features::text AS features, one.features::text AS own_features,
       1 - (other.vector <=> one.vector) AS similarity
FROM incident_features AS one JOIN incident_features AS other USING (tenant)
     JOIN incidents ON incidents.tenant = other.tenant AND incidents.incident_id = other.incident_id
WHERE one.tenant = $1 AND one.incident_id = $2 AND other.incident_id != $2 AND other.onset_ns < one.onset_ns
  AND (other.vector <=> one.vector) <= 1 - $3::float8  -- false for the NaN of a vector of zeros
ORDER BY similarity DESC, other.onset_ns DESC, other.incident_id
LIMIT $4
"""

MOST_SHARED = 10


@dataclass(frozen=True, slots=True)
class Alike:
    """An earlier incident, how similar it is (cosine, 0 to 1), and what both have, weightiest first."""

    incident_id: str
    similarity: float
    shared: Sequence[str]


async def keep(
    pool: Pool,
    tenant: str,
    incident_id: str,
    version: int,
    onset_ns: int,
    features: Mapping[str, float],
    vector: Sequence[float],
) -> None:
    """Keep what an incident is like as of a version of its ranking; an older version changes nothing."""
    stored = json.dumps({clean(name): weight for name, weight in features.items()}, ensure_ascii=False)
    values = (version, onset_ns, stored, json.dumps(vector))
    with translated("keeping what an incident is like"):
        await pool.execute(_KEEP, tenant, clean(incident_id), *values)


async def alike(pool: Pool, tenant: str, incident_id: str, *, least: float, limit: int) -> list[Alike]:
    """Return the tenant's earlier incidents with at least this similarity, most similar first, then latest."""
    with translated("looking for similar incidents"):
        rows = await pool.fetch(_ALIKE, tenant, clean(incident_id), least, limit)
    return [Alike(row["incident_id"], row["similarity"], _shared(row["own_features"], row["features"])) for row in rows]


def _shared(own_features: str, features: str) -> list[str]:
    one, other = json.loads(own_features), json.loads(features)
    both = {name: min(weight, other[name]) for name, weight in one.items() if name in other}
    return sorted(both, key=lambda name: (-both[name], name))[:MOST_SHARED]
