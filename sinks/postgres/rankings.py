"""Rankings of incidents, each version with the snapshot it was made from.

A version that is known changes nothing, so a replay keeps what was believed the first time.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.errors import NotFound
from schemas.incidents import HypothesisSet
from schemas.snapshots import RankingSnapshot
from sinks.postgres.documents import clean, document, int64
from sinks.postgres.pool import Pool, translated

_PUT = """
INSERT INTO incident_hypotheses (tenant, incident_id, version, as_of_ns, weights_version, document)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, incident_id, version) DO NOTHING
RETURNING version
"""

_PUT_SNAPSHOT = """
INSERT INTO ranking_snapshots (tenant, incident_id, version, document) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, incident_id, version) DO NOTHING
"""


async def put(pool: Pool, ranking: HypothesisSet, snapshot: RankingSnapshot) -> bool:
    """Keep this version of an incident's ranking and its snapshot; the largest version counts.

    Returns whether the version is new; a known one changes nothing.
    """
    key = (ranking.tenant, clean(ranking.incident_id), ranking.version)
    values = (ranking.as_of_ns, clean(ranking.weights_version), document(ranking))
    with translated("storing a ranking"):
        async with pool.acquire() as connection, connection.transaction():
            if await connection.fetchrow(_PUT, *key, *values) is None:
                return False
            await connection.execute(_PUT_SNAPSHOT, *key, document(snapshot))
    return True


_ONE = """
SELECT document FROM {table}
WHERE tenant = $1 AND incident_id = $2 AND ($3::bigint IS NULL OR version = $3)
ORDER BY version DESC LIMIT 1
"""


async def get(pool: Pool, tenant: str, incident_id: str, *, version: int | None = None) -> HypothesisSet:
    """Return the newest ranking of an incident, or the one of ``version``. Raises `NotFound` when there is none."""
    return HypothesisSet.model_validate_json(await _one(pool, "incident_hypotheses", tenant, incident_id, version))


async def snapshot(pool: Pool, tenant: str, incident_id: str, *, version: int | None = None) -> RankingSnapshot:
    """Return what the newest ranking, or the one of ``version``, was made from. Raises `NotFound`."""
    return RankingSnapshot.model_validate_json(await _one(pool, "ranking_snapshots", tenant, incident_id, version))


async def _one(pool: Pool, table: str, tenant: str, incident_id: str, version: int | None) -> str:
    with translated("reading a ranking"):
        row = await pool.fetchrow(_ONE.format(table=table), tenant, clean(incident_id), int64(version))
    if row is None:
        raise NotFound(f"no ranking of incident {incident_id}")
    return str(row["document"])


async def newest(pool: Pool, tenant: str, incident_ids: Iterable[str]) -> dict[str, HypothesisSet]:
    """Return the newest ranking of each of these incidents that has one: a whole page in one query."""
    with translated("reading rankings"):
        rows = await pool.fetch(
            "SELECT DISTINCT ON (incident_id) incident_id, document FROM incident_hypotheses"
            " WHERE tenant = $1 AND incident_id = ANY($2::text[]) ORDER BY incident_id, version DESC",
            tenant,
            [clean(incident_id) for incident_id in incident_ids],
        )
    return {row["incident_id"]: HypothesisSet.model_validate_json(row["document"]) for row in rows}
