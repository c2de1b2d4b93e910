"""The other faults of the demo shop do what they claim, and their repair ends them."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import psutil

from deploy.shop.database import LOCKED_S, shop_dsn
from deploy.shop.faults import FAULTS
from deploy.shop.processes import Shop
from deploy.shop.switch import LOOK_INTERVAL_S
from deploy.shop.wiring import CARD_NETWORK
from schemas.settings import Settings
from tests.integration.shop.otlp_receiver import ENOUGH, Received, ReceivedSpan, median_ms

LOOKED_NS = round(4 * LOOK_INTERVAL_S * 1e9)
"""After this long every process has looked at the switch."""
MIB = 1024 * 1024
WHO_WAITS = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query NOT LIKE 'LOCK TABLE%'
"""


@asynccontextmanager
async def broken(shop: Shop, fault: str) -> AsyncIterator[int]:
    """Have a fault while the context is open; give the instant from which on it is everywhere."""
    await shop.inject(FAULTS[fault])
    try:
        yield time.time_ns() + LOOKED_NS
    finally:
        await shop.repair(FAULTS[fault])


async def test_errors_are_returned_by_the_version_that_was_there(shop: Shop, received: Received) -> None:
    """Shipping fails about 40 % of its requests and says why; nothing was released."""
    async with broken(shop, "errors") as since_ns:
        await received.until(lambda: len(received.server_spans("shipping", since_ns)) >= 4 * ENOUGH)
    requests = received.server_spans("shipping", since_ns)
    assert {item.version for item in received.server_spans("shipping")} == {"1.1.0"}
    assert 0.15 < sum(item.failed for item in requests[: 4 * ENOUGH]) / (4 * ENOUGH) < 0.65
    assert any("no carrier" in record.body.string_value for service, record in received.logs if service == "shipping")


async def test_a_leaking_service_grows_and_gets_slower(shop: Shop, received: Received) -> None:
    """The memory of the recommendations process is really taken, and each request searches it."""
    process = psutil.Process(shop.pid("recommendations"))
    calm, before_bytes = last_of_two(received), process.memory_info().rss
    async with broken(shop, "memory"):
        await received.until(lambda: process.memory_info().rss > before_bytes + 100 * MIB)
        grown_ns = time.time_ns()
        await received.until(lambda: len(received.server_spans("recommendations", grown_ns)) >= ENOUGH)
        await received.until(lambda: len(received.server_spans("pricing", grown_ns)) >= ENOUGH)
        leaking = last_of_two(received)
    recommendations, pricing = (median_ms(now) / median_ms(then) for now, then in zip(leaking, calm, strict=True))
    assert recommendations > 1.5 * pricing, "a machine that is busy otherwise slows both"


def last_of_two(received: Received) -> tuple[list[ReceivedSpan], list[ReceivedSpan]]:
    """Return the last requests of recommendations and, to compare with, of pricing."""
    return received.server_spans("recommendations")[-ENOUGH:], received.server_spans("pricing")[-ENOUGH:]


async def test_half_of_the_calls_to_a_dead_instance_are_refused_and_the_rest_served(
    shop: Shop, received: Received
) -> None:
    """Clients take turns, so one in two meets the instance that was killed; it comes back at its address."""
    dead = shop.instances["catalog-2"]
    await received.until(lambda: len({item.instance for item in received.server_spans("catalog")}) >= 2)

    def to_catalog(since_ns: int) -> list[bool]:
        calls = [item for item in received.clients("storefront", since_ns) if item.text("server.address") == "catalog"]
        return [item.failed for item in calls]

    async with broken(shop, "dead-instance") as since_ns:
        await received.until(lambda: len(to_catalog(since_ns)) >= 2 * ENOUGH)
        refused = statistics.mean(to_catalog(since_ns))
        served_by = {item.instance for item in received.server_spans("catalog", since_ns)}
    assert 0.25 < refused < 0.75
    assert served_by == {shop.instances["catalog"]}
    back_ns = time.time_ns()
    back = shop.instances["catalog-2"]
    await received.until(lambda: back in {item.instance for item in received.server_spans("catalog", back_ns)})
    assert back != dead
    assert shop.ended() == {}, "who was killed on purpose did not end by itself"


async def test_of_three_releases_at_once_only_one_is_bad(shop: Shop, received: Received) -> None:
    """All three go live and are announced; catalog, with two instances, and shipping are as good as before."""
    fault = FAULTS["deploy-among-others"]
    rolled_out = await shop.inject(fault)
    assert {(one.service, one.version, one.kind) for one in rolled_out} == {
        ("cart", "1.5.0", "deploy"), ("catalog", "3.2.0", "deploy"), ("shipping", "1.2.0", "deploy")
    }  # fmt: skip
    since_ns = time.time_ns()
    await received.until(lambda: len(received.server_spans("cart", since_ns)) >= 4 * ENOUGH)
    await received.until(lambda: len(received.server_spans("shipping", since_ns)) >= ENOUGH)
    failed = {
        service: statistics.mean(item.failed for item in received.server_spans(service, since_ns))
        for service in ("cart", "catalog", "shipping")
    }
    versions = {item.version for item in received.server_spans("catalog", since_ns)}
    await shop.repair(fault)
    assert failed["cart"] > 0.15
    assert failed["catalog"] == failed["shipping"] == 0
    assert versions == {"3.2.0"}


async def test_queries_on_a_locked_table_wait_and_others_do_not(
    shop: Shop, received: Received, stack: Settings
) -> None:
    """PostgreSQL says who waits for a lock: statements on ``product`` and no others; their spans show how long."""
    waiting: set[str] = set()
    connection = await asyncpg.connect(shop_dsn(stack.postgres_dsn.get_secret_value()))
    async with broken(shop, "slow-query") as since_ns, asyncio.timeout(120):
        while not (
            longest_ms(received.queries("catalog", "product", since_ns)) > 500 * LOCKED_S
            and received.queries("cart", "cart_item", since_ns)
        ):
            waiting |= {row["query"] for row in await connection.fetch(WHO_WAITS)}
            await asyncio.sleep(0.02)
    await connection.close()
    assert waiting
    assert not [statement for statement in waiting if "cart_item" in statement]


def longest_ms(spans: list[ReceivedSpan]) -> float:
    """Return the longest duration."""
    return max((item.duration_ms for item in spans), default=0.0)


async def test_a_card_network_that_hangs_makes_payments_give_up_after_two_seconds(
    shop: Shop, received: Received
) -> None:
    """The call to the host that is not ours fails, and so does the payment; the card network itself says nothing."""
    async with broken(shop, "dependency-timeout") as since_ns:
        await received.until(lambda: sum(item.failed for item in received.clients("payments", since_ns)) >= ENOUGH)
    calls = [item for item in received.clients("payments", since_ns) if item.failed]
    assert {item.text("server.address") for item in calls} == {CARD_NETWORK}
    assert median_ms(calls) > 1900
    assert all(item.service != CARD_NETWORK for item in received.spans)
    assert any("ReadTimeout" in record.body.string_value for service, record in received.logs if service == "payments")
