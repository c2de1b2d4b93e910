"""Deploys on a real PostgreSQL."""

from __future__ import annotations

import pytest
from store_examples import MINUTE_NS, ONSET_NS, deploy

from schemas.errors import NotFound
from sinks.postgres import deploys
from sinks.postgres.pool import Pool


async def test_a_deploy_is_recorded_once(pool: Pool) -> None:
    """A webhook that comes twice is one deploy; the first word counts."""
    first = deploy(version="1.2", description="first\u00e9")
    assert await deploys.record(pool, first)
    assert not await deploys.record(pool, deploy(version="1.3"))
    assert await deploys.get(pool, "acme", "d-1") == first


async def test_another_tenant_finds_no_deploy(pool: Pool) -> None:
    """A deploy is visible to its tenant only, and the same id lives in both."""
    await deploys.record(pool, deploy())
    with pytest.raises(NotFound):
        await deploys.get(pool, "other", "d-1")
    assert await deploys.page(pool, "other") == []
    assert await deploys.near(pool, "other", ["checkout"], 0, 2**62) == []
    assert await deploys.record(pool, deploy(tenant="other"))


async def test_near_is_half_open_and_by_service(pool: Pool) -> None:
    """Start is in, end is out, other services are out, latest first."""
    for name, service, minute in (
        ("a", "cart", 0),
        ("b", "cart", 1),
        ("c", "cart", 2),
        ("d", "mail", 1),
        ("e", "db", 1),
    ):
        await deploys.record(pool, deploy(name, service=service, at_ns=ONSET_NS + minute * MINUTE_NS))
    found = await deploys.near(pool, "acme", ["cart", "mail"], ONSET_NS, ONSET_NS + 2 * MINUTE_NS)
    assert [one.deploy_id for one in found] == ["d", "b", "a"]


async def test_deploy_pages_show_every_deploy_once(pool: Pool) -> None:
    """Latest first, ties by id, filters by service and time."""
    for number in range(5):
        await deploys.record(pool, deploy(f"d-{number}", at_ns=ONSET_NS + number // 2 * MINUTE_NS))
    await deploys.record(pool, deploy("other-service", service="mail"))
    first = await deploys.page(pool, "acme", service="checkout", limit=3)
    last = first[-1]
    rest = await deploys.page(pool, "acme", service="checkout", after=(last.at_ns, last.deploy_id), limit=3)
    assert [one.deploy_id for one in first + rest] == ["d-4", "d-3", "d-2", "d-1", "d-0"]
    until = await deploys.page(pool, "acme", since_ns=ONSET_NS, until_ns=ONSET_NS + MINUTE_NS)
    assert [one.deploy_id for one in until] == ["other-service", "d-1", "d-0"]


async def test_hostile_deploys_are_stored_readable(pool: Pool) -> None:
    """NUL and half a surrogate pair in what a webhook says are replaced, and the id still finds it."""
    assert await deploys.record(pool, deploy("d\x00", description="\x00\ud800"))
    assert (await deploys.get(pool, "acme", "d\x00")).description == "\ufffd\ufffd"
