"""Services, health series and the map over HTTP: the current picture, any instant of the past, and one store less."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
from api_caller import Caller, Served

from api.app import create_app
from api.examples import ONSET_NS
from api.examples_services import SERVICE
from api.routers.services import MAX_SERVICES, MAX_SIGNATURES
from schemas.health import (
    ConnectionType,
    InstanceHealth,
    NodeKind,
    OperationHealth,
    RedStats,
    ServiceHealth,
    SignatureCount,
)
from sinks import redis
from sinks.clickhouse.panes import PaneSink

PANE_NS = 10_000_000_000
(EDGE,) = SERVICE.edges_in
INSTANCE = InstanceHealth(instance="checkout-1", requests=10, errors=1, p95_ms=40.0)


def pane(caller: Caller, service: str = "checkout", pane_start_ns: int = ONSET_NS, **other: Any) -> ServiceHealth:
    """Make a pane of a service that web calls."""
    stats = RedStats(requests=10, errors=1, rate_per_s=1.0, error_rate=0.1, p95_ms=40.0)
    given: dict[str, Any] = {
        "tenant": caller.tenant,
        "service": service,
        "node_kind": NodeKind.SERVICE,
        "pane_start_ns": pane_start_ns,
        "pane_s": 10,
        "window_s": 60,
        "revision": 0,
        "version": 1,
        "final": True,
        "pane": stats,
        "window": stats,
        "operations": [OperationHealth(operation="POST /pay", kind="server", pane=stats, window=stats)],
        "edges_in": [EDGE],
    }
    return ServiceHealth(**(given | other))


async def test_an_instant_of_the_past_is_answered_from_stored_panes(acme: Caller, other: Caller) -> None:
    """Services and map as they were then; nothing of another tenant."""
    await PaneSink(acme.stores.clickhouse).write_panes(
        [pane(acme), pane(acme, pane_start_ns=ONSET_NS + 30 * PANE_NS), pane(other, "secret")]
    )
    at = ONSET_NS + 2 * PANE_NS
    (item,) = (await acme.get("/services", at=at)).json()["items"]
    assert (item["service"], item["pane_start_ns"], item["window"]["requests"]) == ("checkout", ONSET_NS, 10)
    found = (await acme.get("/edges", at=at)).json()
    assert [(edge["client"], edge["server"], edge["window"]["gap_p95_ms"]) for edge in found["edges"]] == [
        ("web", "checkout", 412.0)
    ]
    assert [node["service"] for node in found["nodes"]] == ["checkout", "web"]
    assert (await acme.get("/services", at=ONSET_NS - PANE_NS)).json()["items"] == []
    assert (await acme.get("/edges", at=ONSET_NS + 6000 * PANE_NS)).json()["edges"] == []


async def test_a_health_series_has_every_pane_of_its_time_for_service_and_operation(acme: Caller) -> None:
    """Half-open: the end is not in it."""
    await PaneSink(acme.stores.clickhouse).write_panes(
        [pane(acme, pane_start_ns=ONSET_NS + number * PANE_NS) for number in range(5)]
    )
    span = {"start": ONSET_NS + PANE_NS, "end": ONSET_NS + 4 * PANE_NS}
    series = (await acme.get("/services/checkout/health", **span)).json()
    expected = [ONSET_NS + number * PANE_NS for number in (1, 2, 3)]
    assert [point["pane_start_ns"] for point in series["items"]] == expected
    assert series["items"][0]["pane"]["p95_ms"] == 40.0
    operation = (await acme.get("/services/checkout/health", operation="POST /pay", **span)).json()
    assert [point["pane_start_ns"] for point in operation["items"]] == expected
    assert (await acme.get("/services/checkout/health", operation="none", **span)).json()["items"] == []
    assert (await acme.get("/services/nobody/health", **span)).json()["items"] == []


@pytest.mark.parametrize("service", ["cart\tnew", "line\nbreak", "end\n", "\x1b[31mred", "del\x7f", "a/b\r\n/c", "\\t"])
async def test_what_telemetry_calls_a_service_can_be_asked_for(acme: Caller, service: str) -> None:
    """Whatever is listed: control characters are percent-encoded, and found as they are; so with operations."""
    stats = RedStats(requests=10, errors=1, rate_per_s=1.0, error_rate=0.1, p95_ms=40.0)
    operations = [OperationHealth(operation=f"GET {service}", kind="server", pane=stats, window=stats)]
    made = pane(acme, service, operations=operations)
    await PaneSink(acme.stores.clickhouse).write_panes([made])
    await redis.set_health(acme.stores.redis, made)
    (item,) = (await acme.get("/services", at=ONSET_NS + PANE_NS)).json()["items"]
    path, span = f"/services/{quote(item['service'], safe='')}", {"start": ONSET_NS, "end": ONSET_NS + PANE_NS}
    assert (await acme.get(path)).json()["service"] == service
    for operation in ({}, {"operation": f"GET {service}"}):
        series = (await acme.get(f"{path}/health", **span, **operation)).json()
        assert [point["pane_start_ns"] for point in series["items"]] == [ONSET_NS], operation
    for what in ("signatures", "budget", "revisions"):
        found = await acme.get(f"{path}/{what}", **span)
        assert (found.status_code, found.json()["service"]) == (200, service), found.text
    for noun in ("incidents", "deploys"):
        assert (await acme.get(f"/{noun}", service=service)).status_code == 200


async def test_a_budget_is_spent_by_failures_and_not_by_time_without_requests(acme: Caller, other: Caller) -> None:
    """Two steps with a hole between them; a newer telling of a pane replaces the older; another tenant is not in it."""
    first_ns = ONSET_NS // (60 * 10**9) * 60 * 10**9
    good, bad = (
        RedStats(requests=1_000, errors=errors, rate_per_s=100.0, error_rate=errors / 1_000) for errors in (0, 10)
    )
    sink = PaneSink(acme.stores.clickhouse)
    await sink.write_panes(
        [pane(acme, pane_start_ns=first_ns, pane=bad), pane(other, pane_start_ns=first_ns, pane=bad)]
    )
    later_ns = first_ns + 18 * PANE_NS
    await sink.write_panes([pane(acme, pane_start_ns=first_ns, pane=good, revision=1, version=2)])
    await sink.write_panes([pane(acme, pane_start_ns=later_ns, pane=bad)])
    span = {"start": first_ns, "end": first_ns + 60 * PANE_NS, "step": 60}
    budget = (await acme.get("/services/checkout/budget", **span)).json()
    assert (budget["objective"], budget["requests"], budget["errors"], budget["allowed"]) == (0.995, 2_000, 10, 10.0)
    told = [(item["start_ns"], item["measured_s"], item["burn_rate"], item["remaining"]) for item in budget["items"]]
    assert told == [(first_ns, 10, 0.0, 1.0), (later_ns, 10, 2.0, 0.0)]
    unknown = (await acme.get("/services/nobody/budget", **span)).json()
    assert (unknown["items"], unknown["remaining"]) == ([], 1.0)
    assert (await acme.get("/services/checkout/budget", start=0, end=1, step=1)).status_code == 422


async def test_the_latency_budget_is_spent_by_slow_requests_once_there_is_a_threshold(acme: Caller) -> None:
    """Failures do not spend it; without a threshold there is none."""
    start_ns = ONSET_NS // (60 * 10**9) * 60 * 10**9
    red = RedStats(requests=1_000, errors=500, rate_per_s=100.0, error_rate=0.5)
    slow = pane(acme, pane_start_ns=start_ns, pane=red).model_copy(update={"slow_requests": 20})
    await PaneSink(acme.stores.clickhouse).write_panes([slow])
    span = {"start": start_ns, "end": start_ns + 60 * PANE_NS, "indicator": "latency"}
    assert (await acme.get("/services/checkout/budget", **span)).status_code == 404
    settings = acme.settings.model_copy(update={"slo_latency_ms": 300.0, "slo_latency_objective": 0.9})
    door = Served(create_app(settings, acme.stores), settings, acme.stores)
    async with door.app.router.lifespan_context(door.app), door.client(acme.tenant) as http:
        budget = (await http.get("/api/v1/services/checkout/budget", params=span)).json()
    assert (budget["indicator"], budget["threshold_ms"], budget["objective"]) == ("latency", 300.0, 0.9)
    assert (budget["errors"], budget["allowed"], budget["remaining"]) == (20, 100.0, 0.8)


async def test_a_series_has_a_bound_and_sensible_defaults(acme: Caller) -> None:
    """The last hour; at most a day; ends after it starts."""
    series = (await acme.get("/services/checkout/health")).json()
    assert series["end_ns"] - series["start_ns"] == 3600 * 1_000_000_000
    assert abs(series["end_ns"] - time.time_ns()) < 60_000_000_000
    assert (await acme.get("/services/checkout/health", start=0, end=25 * 3600 * 10**9)).status_code == 422
    assert (await acme.get("/services/checkout/health", start=5, end=5)).status_code == 422
    assert (await acme.get("/services/checkout/health", start=0, end=1)).status_code == 200


async def test_the_current_picture_has_operations_callers_and_instances(acme: Caller, other: Caller) -> None:
    """As the newest pane tells, also of names with slashes; 404 for what is not there or another's."""
    names = ["checkout", "queue/orders éß", "a/health"]
    for name in names:
        await redis.set_health(acme.stores.redis, pane(acme, name, instances=[INSTANCE]))
    badges = {"checkout": ("learning", "reliable"), "a/health": ("of a", "later version")}
    await redis.set_badges(acme.stores.redis, acme.tenant, badges)
    items = (await acme.get("/services")).json()["items"]
    listed = {item["service"]: (item["baseline"], item["hour_of_week"]) for item in items}
    assert listed == {"checkout": ("learning", "reliable"), "queue/orders éß": (None, None), "a/health": (None, None)}
    for name in names[:2]:
        detail = (await acme.get(f"/services/{name}")).json()
        assert (detail["service"], detail["edges_in"][0]["client"]) == (name, "web")
        assert (detail["baseline"], detail["hour_of_week"]) == listed[name]
        assert [(one["instance"], one["p95_ms"]) for one in detail["instances"]] == [("checkout-1", 40.0)]
        assert (await acme.http.get(detail["links"]["health"])).json()["service"] == name
    edges = (await acme.get("/edges")).json()["edges"]
    assert sorted(edge["server"] for edge in edges) == sorted(names)
    assert (await other.get("/services/checkout")).status_code == 404
    assert (await other.get("/services")).json()["items"] == []
    assert (await other.get("/edges")).json()["edges"] == []


async def test_what_redis_has_forgotten_is_answered_from_stored_panes(acme: Caller) -> None:
    """Redis may lose everything."""
    recent_ns = time.time_ns() // PANE_NS * PANE_NS - 6 * PANE_NS
    edge = EDGE.model_copy(update={"client_kind": NodeKind.CLIENT, "connection_type": ConnectionType.VIRTUAL})
    await PaneSink(acme.stores.clickhouse).write_panes([pane(acme, pane_start_ns=recent_ns, edges_in=[edge])])
    assert [item["service"] for item in (await acme.get("/services")).json()["items"]] == ["checkout"]
    detail = (await acme.get("/services/checkout")).json()
    assert (detail["window"]["requests"], detail["operations"]) == (10, [])
    assert (await acme.get("/edges")).json()["edges"][0]["connection_type"] == "virtual"


async def test_error_signatures_of_a_service_are_listed_with_a_sample(acme: Caller, other: Caller) -> None:
    """From stored panes for any time, from the current picture in the service itself."""
    seen = SignatureCount(
        signature="5f1c0e9a7b3d2c46", kind="log", template="payment of <n> refused", severity="error", pane=3, window=3,
        first_seen_ns=ONSET_NS, sample="payment of 7 refused",
    )  # fmt: skip
    await PaneSink(acme.stores.clickhouse).write_panes([pane(acme, signatures=[seen])])
    await redis.set_health(acme.stores.redis, pane(acme, signatures=[seen]))
    span = {"start": ONSET_NS, "end": ONSET_NS + PANE_NS}
    (item,) = (await acme.get("/services/checkout/signatures", **span)).json()["items"]
    assert (item["template"], item["lines"], item["sample"]) == ("payment of <n> refused", 3, "payment of 7 refused")
    assert item["panes"] == [[ONSET_NS, 3]]
    (current,) = (await acme.get("/services/checkout")).json()["signatures"]
    assert current["signature"] == item["signature"]
    assert (await other.get("/services/checkout/signatures", **span)).json()["items"] == []
    assert (await acme.get("/services/checkout/signatures", start=5, end=5)).status_code == 422


async def test_a_list_that_is_cut_says_so(acme: Caller) -> None:
    """Services of an instant of the past, and signatures: one more than an answer holds, and just as many."""
    seen = SignatureCount(
        signature="", kind="log", template="no", severity="error", pane=1, window=1, first_seen_ns=ONSET_NS, sample="no"
    )
    kinds = [seen.model_copy(update={"signature": f"{number:016x}"}) for number in range(MAX_SIGNATURES + 1)]
    few = {"signatures": [], "operations": [], "edges_in": []}
    panes = [pane(acme, f"s{number}", **few) for number in range(MAX_SERVICES - 2)]
    full = [pane(acme, "full", signatures=kinds[:-1]), pane(acme, "fuller", signatures=kinds)]
    await PaneSink(acme.stores.clickhouse).write_panes([*panes, *full])
    span = {"start": ONSET_NS, "end": ONSET_NS + PANE_NS}
    for service, is_cut in (("full", False), ("fuller", True)):
        found = (await acme.get(f"/services/{service}/signatures", **span)).json()
        assert (len(found["items"]), found["truncated"]) == (MAX_SIGNATURES, is_cut)
    at = ONSET_NS + PANE_NS
    found = (await acme.get("/services", at=at)).json()
    assert (len(found["items"]), found["truncated"]) == (MAX_SERVICES, False)
    await PaneSink(acme.stores.clickhouse).write_panes([pane(acme, "one more", **few)])
    found = (await acme.get("/services", at=at)).json()
    assert (len(found["items"]), found["truncated"]) == (MAX_SERVICES, True)
