"""Many requests at once, over real connections: who floods waits and is told to, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
from api_caller import Caller

FLOOD = 200


async def asked(base_url: str, tenant: str, path: str, count: int) -> list[httpx.Response]:
    """Ask so often at once."""
    limits = httpx.Limits(max_connections=count)
    headers = {"X-API-Key": f"key-of-{tenant}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=60) as client:
        return list(await asyncio.gather(*(client.get(path) for _ in range(count))))


async def test_a_flood_of_one_tenants_reads_is_told_to_wait_and_another_is_answered(
    base_url: str, acme: Caller, other: Caller
) -> None:
    """No 5xx for anybody; Retry-After for what is too many."""
    path = "/api/v1/services?at=2026-01-01T00:00:00Z"
    flood = asyncio.create_task(asked(base_url, acme.tenant, path, FLOOD))
    answers = [await asked(base_url, other.tenant, path, 4) for _ in range(5)]
    assert {one.status_code for some in answers for one in some} == {200}
    refused = [one for one in await flood if one.status_code != 200]
    assert Counter(one.status_code for one in refused).keys() == {429}
    assert {one.headers["Retry-After"] for one in refused} == {"1"}
    assert len(refused) < FLOOD - 8
    assert {one.status_code for one in await asked(base_url, acme.tenant, path, 8)} == {200}
