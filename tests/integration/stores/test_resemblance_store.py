"""Incidents alike, on a real PostgreSQL with pgvector."""

from __future__ import annotations

from store_examples import MINUTE_NS, ONSET_NS, incident_event

from sinks.postgres import incidents, resemblance
from sinks.postgres.pool import Pool
from streams.resemblance import vector_of

SLOW = {"service cart": 0.5, "suspect service cart": 2.0, "symptom self_time of cart": 0.7}
FAILING = {"service cart": 0.5, "suspect service cart": 2.0, "symptom error_rate of cart": 1.0}
ELSEWHERE = {"service mail": 0.5, "suspect service mail": 2.0, "symptom p95 of mail\0": 1.0}


async def keep(
    pool: Pool,
    number: int,
    features: dict[str, float],
    tenant: str = "acme",
    version: int = 1,
    minute: int | None = None,
) -> None:
    """Keep an incident and what it is like; each a minute after the one before."""
    onset_ns = ONSET_NS + number * MINUTE_NS
    await incidents.apply_event(pool, incident_event(f"inc-{number}", tenant=tenant, onset_ns=onset_ns))
    await resemblance.keep(pool, tenant, f"inc-{number}", version, onset_ns, features, vector_of(features))


async def alike(pool: Pool, number: int, tenant: str = "acme", least: float = 0.3, limit: int = 5) -> list[str]:
    """Return the ids of earlier incidents alike."""
    found = await resemblance.alike(pool, tenant, f"inc-{number}", least=least, limit=limit)
    return [one.incident_id for one in found]


async def test_the_most_similar_earlier_incident_comes_first(pool: Pool) -> None:
    """Of one's own tenant only, never a later one; with what both have, weightiest first."""
    await keep(pool, 1, SLOW)
    await keep(pool, 2, FAILING)
    await keep(pool, 3, ELSEWHERE)
    await keep(pool, 4, SLOW, tenant="other")
    await keep(pool, 5, SLOW)
    await keep(pool, 6, SLOW)
    found = await resemblance.alike(pool, "acme", "inc-5", least=0.3, limit=5)
    assert [one.incident_id for one in found] == ["inc-1", "inc-2"]
    assert abs(found[0].similarity - 1.0) < 1e-6
    assert found[1].shared == ["suspect service cart", "service cart"]
    assert await alike(pool, 5, limit=1) == ["inc-1"]
    assert await alike(pool, 5, least=0.999) == ["inc-1"]
    assert await alike(pool, 4, tenant="other") == []
    assert await alike(pool, 99) == []


async def test_the_newest_ranking_says_what_an_incident_is_like(pool: Pool) -> None:
    """An older version that comes again changes nothing."""
    await keep(pool, 1, ELSEWHERE, version=1)
    await keep(pool, 1, SLOW, version=3)
    await keep(pool, 1, ELSEWHERE, version=2)
    await keep(pool, 2, SLOW)
    assert await alike(pool, 2) == ["inc-1"]


async def test_an_incident_without_features_is_like_no_other(pool: Pool) -> None:
    """The cosine with zeros is no number, and no error."""
    await keep(pool, 1, {})
    await keep(pool, 2, SLOW)
    await keep(pool, 3, {})
    assert await alike(pool, 2, least=0.0) == []
    assert await alike(pool, 3, least=0.0) == []
