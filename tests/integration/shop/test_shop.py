"""The demo shop's telemetry, and its first four faults, seen from that telemetry alone."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import httpx
import psutil

from deploy.shop.faults import FAULTS
from deploy.shop.processes import FIRST_VERSIONS, Rollout, Shop
from deploy.shop.wiring import CARD_NETWORK, SERVICES
from schemas.settings import Settings
from tests.integration.shop.otlp_receiver import ENOUGH, Received, median_ms, otlp_receiver


def paths(received: Received) -> list[set[str]]:
    """Return the services of each trace."""
    services: dict[bytes, set[str]] = defaultdict(set)
    for item in received.spans:
        services[item.span.trace_id].add(item.service)
    return list(services.values())


async def test_killing_the_owner_ends_every_process_of_the_shop(
    stack: Settings, received: Received, tmp_path: Path
) -> None:
    """After ``kill -9`` of whoever started it no process of the shop is left.

    First, while the shop of the other tests is not open yet.
    """
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.shop", "--folder", str(tmp_path), "--endpoint", received.endpoint,
        "--postgres", stack.postgres_dsn.get_secret_value(), "--rate", "1",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert owner.stdout is not None
    assert b"the shop is open" in await owner.stdout.readline()
    children = psutil.Process(owner.pid).children(recursive=True)
    beside = len(["catalog-2", "proxy", "card network", "load", "fork server", "its resource tracker"])
    assert len(children) == len(SERVICES) + beside
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, children, 15.0)
    assert not alive
    assert len(gone) == len(children)


async def test_receiving_leaves_control_c_to_the_tests() -> None:
    """Else a handler stays that shows all that was received whenever it is looked at: before and after each test."""
    before = signal.getsignal(signal.SIGINT)
    async with otlp_receiver() as seen, httpx.AsyncClient() as client:
        assert (await client.post(f"{seen.endpoint}/v1/traces", content=b"")).is_success
        assert signal.getsignal(signal.SIGINT) is before
    assert signal.getsignal(signal.SIGINT) is before


async def test_every_service_sends_spans_logs_with_trace_ids_and_four_kinds_of_metrics(
    shop: Shop, received: Received
) -> None:
    """All eight services and the database are seen; a checkout is one trace over five services."""
    kinds_of = {"sum", "gauge", "histogram", "exponential_histogram"}
    await received.until(lambda: {item.service for item in received.spans} == set(SERVICES))
    await received.until(lambda: {kind for _, _, kind in received.metrics} == kinds_of)
    await received.until(lambda: {service for service, _ in received.logs} >= {"checkout", "payments", "shipping"})
    assert {item.version for item in received.spans if item.service == "cart"} == {FIRST_VERSIONS["cart"]}
    assert all(len(record.trace_id) == 16 for service, record in received.logs if service == "checkout")
    databases = {
        attribute.value.string_value
        for item in received.spans
        for attribute in item.span.attributes
        if attribute.key == "db.namespace"
    }
    assert databases == {"shop"}
    await received.until(lambda: {one.text("server.address") for one in received.clients("payments")} == {CARD_NETWORK})
    await received.until(lambda: {"storefront", "checkout", "cart", "payments", "shipping"} in paths(received))


async def test_a_delay_shows_between_checkout_and_payments_and_in_no_service(shop: Shop, received: Received) -> None:
    """The gap (client minus server duration) of that one connection grows by 400 ms; payments stays as it was."""
    before_ns = time.time_ns()
    await received.until(lambda: len(received.calls("checkout", "payments", before_ns)) >= ENOUGH)
    await shop.inject(FAULTS["delay"])
    await asyncio.sleep(1.0)  # until the proxy has looked
    during_ns = time.time_ns()
    await received.until(lambda: len(received.calls("checkout", "payments", during_ns)) >= ENOUGH)
    during = received.calls("checkout", "payments", during_ns)
    shipping = received.calls("checkout", "shipping", during_ns)
    await shop.repair(FAULTS["delay"])
    before = [pair for pair in received.calls("checkout", "payments", before_ns) if pair not in during]
    calm = [pair for pair in before if pair[0].span.start_time_unix_nano < during_ns - 2 * 10**9]

    delayed, undelayed, elsewhere = (
        statistics.median(client.duration_ms - server.duration_ms for client, server in pairs)
        for pairs in (during, calm, shipping)
    )
    assert delayed >= 395
    assert max(undelayed, elsewhere) < delayed / 2, "how fast the machine is says nothing, only the difference does"
    assert median_ms([server for _, server in during]) - median_ms([server for _, server in calm]) < delayed / 2


async def test_a_burning_service_gets_slow_and_its_neighbours_do_not(shop: Shop, received: Received) -> None:
    """Busy loops in pricing multiply its own time far more than that of shipping, which has less of the machine."""
    calm = received.server_spans("pricing"), received.server_spans("shipping")
    await shop.inject(FAULTS["cpu"])
    await asyncio.sleep(1.0)
    during_ns = time.time_ns()
    await received.until(lambda: len(received.server_spans("pricing", during_ns)) >= ENOUGH)
    await received.until(lambda: len(received.server_spans("shipping", during_ns)) >= ENOUGH)
    burning = received.server_spans("pricing", during_ns), received.server_spans("shipping", during_ns)
    await shop.repair(FAULTS["cpu"])
    pricing, shipping = (median_ms(now) / median_ms(then) for now, then in zip(burning, calm, strict=True))
    assert pricing > 2 * shipping, "a machine that is busy otherwise slows both"


async def test_a_bad_release_fails_requests_of_its_own_and_no_connection(shop: Shop, received: Received) -> None:
    """The new version appears, fails about 40 %, logs why, and takes over without a refused connection."""
    before_ns = time.time_ns()  # a shop that was killed may have said that nobody answers
    assert await shop.inject(FAULTS["deploy-errors"]) == [Rollout("cart", "1.5.0", "deploy")]
    after_ns = time.time_ns()
    await received.until(lambda: len(received.server_spans("cart", after_ns)) >= 4 * ENOUGH)
    requests = [item for item in received.server_spans("cart", after_ns) if not item.span.name.startswith("DELETE")]
    assert await shop.repair(FAULTS["deploy-errors"]) == [Rollout("cart", FIRST_VERSIONS["cart"], "rollback")]
    assert {item.version for item in requests} == {"1.5.0"}
    assert 0.15 < sum(item.failed for item in requests) / len(requests) < 0.65
    reasons = [record.body.string_value for service, record in received.logs if service == "cart"]
    assert any("no discount table" in reason for reason in reasons)
    since = [record for _, record in received.logs if record.time_unix_nano >= before_ns]
    assert since
    assert not [text for record in since if "ConnectError" in (text := record.body.string_value)]


async def test_traffic_stops_at_the_door(shop: Shop, received: Received) -> None:
    """Once the users are kept out and what was on its way is served, no request begins, and they come back."""
    await shop.inject(FAULTS["traffic-stop"])
    quiet_ns = 3 * 10**9  # without the fault, sixty requests would begin in it
    await received.until(lambda: not received.server_spans("storefront", time.time_ns() - quiet_ns))
    stopped_ns = time.time_ns()
    await shop.repair(FAULTS["traffic-stop"])
    await received.until(lambda: received.server_spans("storefront", stopped_ns) != [])
