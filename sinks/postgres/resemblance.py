"""What incidents are like, and which earlier ones are like one: cosine distance in pgvector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sinks.postgres.documents import clean
from sinks.postgres.pool import Pool, translated

_KEEP = """
INSERT INTO incident_features AS kept (tenant, incident_id, version, onset_ns, features, vector, text)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::text::vector, $7)
ON CONFLICT (tenant, incident_id) DO UPDATE
SET version = excluded.version, onset_ns = excluded.onset_ns, features = excluded.features, vector = excluded.vector,
    text = excluded.text, text_since = CASE WHEN kept.text = excluded.text THEN kept.text_since ELSE now() END
WHERE excluded.version > kept.version
"""

TEXT_WEIGHT = 0.4
"""Incidents of which only the error lines mean the same are this similar at most."""
TEXT_CHANCE = 0.3
"""Sentences that have nothing to do with each other have about this cosine."""

_ALIKE = f"""
WITH compared AS (
    SELECT other.incident_id, other.onset_ns, other.features::text AS features, one.features::text AS own_features,
           coalesce(1 - nullif(other.vector <=> one.vector, 'NaN'), 0) AS by_features,
           CASE WHEN one.vector_of = md5(one.text) AND other.vector_of = md5(other.text)
                THEN greatest(0, 1 - (other.text_vector <=> one.text_vector)) END AS by_text
    FROM incident_features AS one JOIN incident_features AS other USING (tenant)
         JOIN incidents ON incidents.tenant = other.tenant AND incidents.incident_id = other.incident_id
    WHERE one.tenant = $1 AND one.incident_id = $2 AND other.incident_id != $2 AND other.onset_ns < one.onset_ns
), judged AS (
    SELECT *, 1 - (1 - by_features)
                * (1 - {TEXT_WEIGHT} * greatest(0, (coalesce(by_text, 0) - {TEXT_CHANCE}) / {1 - TEXT_CHANCE}))
              AS similarity
    FROM compared
)
SELECT * FROM judged WHERE similarity > 0 AND similarity >= $3::float8
ORDER BY similarity DESC, onset_ns DESC, incident_id
LIMIT $4
"""  # noqa: S608  # numbers of ours

_UNREAD = """
SELECT tenant, incident_id, text FROM incident_features
WHERE text <> '' AND vector_of IS DISTINCT FROM md5(text) AND text_since <= now() - make_interval(secs => $1)
ORDER BY text_since, tenant, incident_id
LIMIT $2
"""

_KEEP_MEANING = """
UPDATE incident_features SET text_vector = $4::text::vector, vector_of = md5(text)
WHERE tenant = $1 AND incident_id = $2 AND text = $3
"""

MOST_SHARED = 10


@dataclass(frozen=True, slots=True)
class Alike:
    """An earlier incident, how similar it is (0 to 1), and what both have, weightiest first.

    ``by_features`` and ``by_text`` are the cosines it is made of; None where error lines have not been read.
    """

    incident_id: str
    similarity: float
    by_features: float
    by_text: float | None
    shared: Sequence[str]


@dataclass(frozen=True, slots=True)
class IncidentText:
    """The error lines of an incident, a line each."""

    tenant: str
    incident_id: str
    text: str


async def keep(
    pool: Pool,
    tenant: str,
    incident_id: str,
    version: int,
    onset_ns: int,
    features: Mapping[str, float],
    vector: Sequence[float],
    lines: Sequence[str] = (),
) -> None:
    """Keep what an incident is like as of a version of its ranking; an older version changes nothing."""
    stored = json.dumps({clean(name): weight for name, weight in features.items()}, ensure_ascii=False)
    values = (version, onset_ns, stored, json.dumps(vector), clean("\n".join(lines)))
    with translated("keeping what an incident is like"):
        await pool.execute(_KEEP, tenant, clean(incident_id), *values)


async def alike(pool: Pool, tenant: str, incident_id: str, *, least: float, limit: int) -> list[Alike]:
    """Return the tenant's earlier incidents with at least this similarity, most similar first, then latest.

    Similarity is the cosine of features; what error lines mean can only add to it (a noisy or).
    """
    with translated("looking for similar incidents"):
        rows = await pool.fetch(_ALIKE, tenant, clean(incident_id), least, limit)
    return [
        Alike(
            row["incident_id"], row["similarity"], row["by_features"], row["by_text"],
            _shared(row["own_features"], row["features"]),
        )
        for row in rows
    ]  # fmt: skip


async def unread(pool: Pool, *, settled_s: float, limit: int) -> list[IncidentText]:
    """Return, oldest first, texts whose meaning is not known and that have not changed for so long."""
    with translated("looking for unread error lines"):
        rows = await pool.fetch(_UNREAD, settled_s, limit)
    return [IncidentText(row["tenant"], row["incident_id"], row["text"]) for row in rows]


async def keep_meanings(pool: Pool, meanings: Sequence[tuple[IncidentText, Sequence[float]]]) -> None:
    """Keep the vectors of some texts; of one that has changed meanwhile nothing."""
    values = [(one.tenant, one.incident_id, one.text, json.dumps(list(vector))) for one, vector in meanings]
    with translated("keeping what error lines mean"):
        await pool.executemany(_KEEP_MEANING, values)


def _shared(own_features: str, features: str) -> list[str]:
    one, other = json.loads(own_features), json.loads(features)
    both = {name: min(weight, other[name]) for name, weight in one.items() if name in other}
    return sorted(both, key=lambda name: (-both[name], name))[:MOST_SHARED]
