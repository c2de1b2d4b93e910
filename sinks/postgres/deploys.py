"""Deploys: what went live, where and when."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.errors import NotFound
from schemas.incidents import Deploy
from sinks.postgres.documents import clean, document, int64
from sinks.postgres.pool import Pool, translated

Position = tuple[int, str]
"""Where a page ended: ``(at_ns, deploy_id)`` of its last row."""

NEAR_LIMIT = 200
"""More deploys than this around one incident explain nothing; the latest are taken."""


async def record(pool: Pool, deploy: Deploy) -> bool:
    """Keep a deploy; a known ``deploy_id`` of the tenant changes nothing. Returns whether it is new."""
    with translated("recording a deploy"):
        row = await pool.fetchrow(
            "INSERT INTO deploys (tenant, deploy_id, service, at_ns, document) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (tenant, deploy_id) DO NOTHING RETURNING deploy_id",
            deploy.tenant,
            clean(deploy.deploy_id),
            clean(deploy.service),
            deploy.at_ns,
            document(deploy),
        )
    return row is not None


async def get(pool: Pool, tenant: str, deploy_id: str) -> Deploy:
    """Return one deploy. Raises `NotFound`."""
    with translated("reading a deploy"):
        found = await pool.fetchval(
            "SELECT document FROM deploys WHERE tenant = $1 AND deploy_id = $2", tenant, clean(deploy_id)
        )
    if found is None:
        raise NotFound(f"no deploy {deploy_id}")
    return Deploy.model_validate_json(found)


_PAGE = """
SELECT document FROM deploys
WHERE tenant = $1
  AND ($2::text IS NULL OR service = $2)
  AND ($3::bigint IS NULL OR at_ns >= $3)
  AND ($4::bigint IS NULL OR at_ns < $4)
  AND ($5::bigint IS NULL OR (at_ns, deploy_id) < ($5, $6::text))
ORDER BY at_ns DESC, deploy_id DESC
LIMIT $7
"""


async def page(
    pool: Pool,
    tenant: str,
    *,
    service: str | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    after: Position | None = None,
    limit: int = 50,
) -> list[Deploy]:
    """Return up to ``limit`` deploys with ``since_ns <= at < until_ns``, latest first, after position ``after``."""
    after_ns, after_id = after or (None, None)
    with translated("listing deploys"):
        rows = await pool.fetch(
            _PAGE,
            tenant,
            None if service is None else clean(service),
            int64(since_ns),
            int64(until_ns),
            int64(after_ns),
            None if after_id is None else clean(after_id),
            limit,
        )
    return [Deploy.model_validate_json(row["document"]) for row in rows]


async def near(pool: Pool, tenant: str, services: Iterable[str], start_ns: int, end_ns: int) -> list[Deploy]:
    """Return the deploys of any of ``services`` with ``start_ns <= at < end_ns``, latest first."""
    with translated("looking for deploys"):
        rows = await pool.fetch(
            "SELECT document FROM deploys WHERE tenant = $1 AND service = ANY($2::text[])"
            " AND at_ns >= $3 AND at_ns < $4 ORDER BY at_ns DESC, deploy_id DESC LIMIT $5",
            tenant,
            [clean(service) for service in services],
            int64(start_ns),
            int64(end_ns),
            NEAR_LIMIT,
        )
    return [Deploy.model_validate_json(row["document"]) for row in rows]
