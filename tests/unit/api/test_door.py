"""The layers before the routes as a client meets them: keys, readable text, body limits, error documents, headers, log.

The stores of this application do not answer, so a request that gets through ends with 503.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from google.rpc.status_pb2 import Status
from prometheus_client import REGISTRY
from pydantic import SecretStr

from api.app import create_app
from api.gate import JSON_LIMIT_BYTES
from api.problems import Problem, Slug
from schemas.settings import Settings
from sinks.stores import open_stores

KEY = "key-of-acme"
AUTHORISED = {"Authorization": f"Bearer {KEY}"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
OTLP_LIMIT_BYTES = 4096
ONE_LOG_RECORD = b"\x0a\x04\x12\x02\x12\x00"
"""An `ExportLogsServiceRequest` with one empty record."""

SETTINGS = Settings(
    api_keys=SecretStr(f"{KEY}:acme,key-of-other:other"),
    operator_tenant="acme",
    api_max_body_bytes=OTLP_LIMIT_BYTES,
    kafka_brokers="127.0.0.1:1",
    clickhouse_dsn=SecretStr("clickhouse://127.0.0.1:1/default"),
    postgres_dsn=SecretStr("postgresql://nobody:secret@127.0.0.1:1/none"),
    redis_url=SecretStr("redis://127.0.0.1:1/0"),
    _env_file=None,
)
"""Nothing listens on port 1."""


@pytest.fixture
async def app() -> AsyncIterator[FastAPI]:
    """Give an application whose stores are away."""
    async with open_stores(SETTINGS) as stores:
        yield create_app(SETTINGS, stores)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with a key, that sees answers also where our code fails."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=AUTHORISED) as opened:
        yield opened


def assert_problem(response: httpx.Response, slug: Slug) -> dict[str, Any]:
    """Check that the answer is a problem document of this kind, and return it."""
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert (response.status_code, found["type"], found["title"]) == (slug.status, slug.urn, slug.title)
    assert found["status"] == slug.status
    assert found["request_id"] == response.headers["x-request-id"]
    return found


def status_message(response: httpx.Response) -> Status:
    """Return the ``google.rpc.Status`` of a protobuf answer."""
    assert response.headers["content-type"] == "application/x-protobuf"
    return Status.FromString(response.content)


@pytest.mark.parametrize("path", ["/livez", "/docs", "/openapi.json", "/docs/start.js"])
async def test_operations_and_docs_are_open(client: httpx.AsyncClient, path: str) -> None:
    """No key is needed there."""
    assert (await client.get(path, headers={"Authorization": ""})).status_code == 200


async def test_metrics_are_the_operators_where_tenants_do_not_know_of_one_another(app: FastAPI) -> None:
    """Their labels name tenants and services. With one tenant, or if the operator says so, they are open."""

    async def status(changes: dict[str, Any], key: str = "") -> int:
        changed = create_app(SETTINGS.model_copy(update=changes), app.state.stores)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(changed), base_url="http://api") as asking:
            return (await asking.get("/metrics", headers={"X-API-Key": key} if key else {})).status_code

    operator = {"operator_tenant": "other"}
    assert [await status(operator), await status(operator, KEY), await status(operator, "key-of-other")] == [
        401,
        403,
        200,
    ]
    assert await status(operator | {"api_open_metrics": True}) == 200
    assert await status({"api_keys": SecretStr(f"{KEY}:acme")}) == 200


@pytest.mark.parametrize("path", ["/api/v1/incidents", "/api/v1/no-such-path", "/livez/", "/v2", "/docs2"])
@pytest.mark.parametrize("key", ["", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x"])
async def test_everything_else_needs_a_key(client: httpx.AsyncClient, path: str, key: str) -> None:
    """Also what does not exist, so that nobody can look around."""
    response = await client.get(path, headers={"Authorization": key})
    assert_problem(response, Slug.UNAUTHENTICATED)
    assert response.headers["www-authenticate"] == 'Bearer realm="incidentscope"'


@pytest.mark.parametrize("headers", [{"Authorization": f"bearer {KEY}"}, {"Authorization": "", "X-API-Key": KEY}])
async def test_both_ways_to_send_a_key_open_the_door(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """The request comes as far as the stores."""
    assert_problem(await client.get("/api/v1/incidents", headers=headers), Slug.UNAVAILABLE)


async def test_a_key_is_checked_before_the_body_is_read(app: FastAPI) -> None:
    """A stranger cannot make us receive anything."""
    sent: list[MutableMapping[str, Any]] = []

    async def never_asked() -> MutableMapping[str, Any]:
        raise AssertionError("the body was asked for")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/traces", "query_string": b"", "headers": []}
    await app(scope, never_asked, send)
    assert sent[0]["status"] == 401


async def test_a_tenant_header_that_contradicts_the_key_is_refused(client: httpx.AsyncClient) -> None:
    """Telemetry in the wrong tenant would be worse than none; the same tenant, or nothing, is fine."""
    found = [
        (await client.post("/v1/logs", headers=PROTOBUF | {"x-tenant-id": tenant})).status_code
        for tenant in ("other", "acme ", "", "ACME")
    ]
    assert found == [403, 200, 200, 403]


async def test_a_store_that_is_away_is_503_with_the_time_to_wait(client: httpx.AsyncClient) -> None:
    """In the encoding of each path."""
    response = await client.get("/api/v1/deploys")
    assert_problem(response, Slug.UNAVAILABLE)
    assert int(response.headers["retry-after"]) >= 1
    response = await client.post("/v1/logs", content=ONE_LOG_RECORD, headers=PROTOBUF)
    assert (response.status_code, status_message(response).code) == (503, 14)
    assert int(response.headers["retry-after"]) >= 1


async def test_readiness_is_503_and_names_who_is_away_but_not_why(app: FastAPI, client: httpx.AsyncClient) -> None:
    """No key is needed there, so no address may be in it; liveness stays 200."""
    async with app.router.lifespan_context(app):
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert {one["status"] for one in response.json()["dependencies"].values()} == {"away"}
    assert "127.0.0.1" not in response.text
    assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/incidents/a%00b",
        "/api/v1/incidents?service=a%00b",
        "/api/v1/incidents/%ff",
        "/api/v1/incidents?service=%c3%28",
        "/api/v1/incidents?service=%ed%a0%80",
        "/api/v1/incidents?" + "x" * 9000,
    ],
)
async def test_text_that_nobody_can_hold_is_refused(client: httpx.AsyncClient, target: str) -> None:
    """NUL, broken UTF-8, surrogates, endless queries: 400 before any route."""
    assert_problem(await client.get(target), Slug.BAD_REQUEST)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "query.limit"),
        ("limit=201", "query.limit"),
        ("limit=" + "9" * 5000, "query.limit"),
        ("limit=1.5", "query.limit"),
        ("limit=NaN", "query.limit"),
        ("since=yesterday", "query.since"),
        ("since=-1", "query.since"),
        ("since=99999999999999999999", "query.since"),
        ("since=5&until=5", "query.since"),
        ("state=broken", "query.state.0"),
        ("severity=" + "x" * 4000, "query.severity.0"),
        ("service=", "query.service"),
        ("service=" + "x" * 257, "query.service"),
        ("service=a&service=b", "query.service"),
        ("cursor=AAAA", "query.cursor"),
        ("cursor=%20", "query.cursor"),
        ("limitt=5", "query.limitt"),
        ("tenant=other", "query.tenant"),
    ],
)
async def test_every_parameter_has_limits_and_no_other_is_taken(
    client: httpx.AsyncClient, query: str, where: str
) -> None:
    """BAD_INPUT 28: 422 that names the parameter."""
    found = assert_problem(await client.get(f"/api/v1/incidents?{query}"), Slug.INVALID)
    assert where in [error["where"] for error in found["errors"]]
    assert len(str(found)) < 2000


async def test_what_does_not_exist_and_a_wrong_method_are_told_apart(client: httpx.AsyncClient) -> None:
    """With the methods that would do."""
    assert_problem(await client.get("/api/v1/nothing"), Slug.NOT_FOUND)
    response = await client.delete("/api/v1/incidents")
    assert_problem(response, Slug.METHOD_NOT_ALLOWED)
    assert response.headers["allow"] == "GET"
    assert (await client.get("/v1/traces")).json()["code"] == 12


@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 200), ("/docs", 200), ("/api/v1/nothing", 404), ("/v1/traces", 405)]
)
async def test_head_is_answered_like_get_without_content(client: httpx.AsyncClient, path: str, status: int) -> None:
    """Monitors and load balancers ask so (RFC 9110 section 9.3.2)."""
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (status, b"")
    assert (get.status_code, get.headers["content-length"]) == (status, head.headers["content-length"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"service": ""}',
        b'{"service": "a\\u0000b"}',
        b'{"service": "\\ud800"}',
        b'{"service": 5}',
        b'{"service": "a", "tenant": "other"}',
        b'{"service": "a", "at": NaN}',
        b'{"service": "a", "at": 1e400}',
        b'{"service": "a", "at": "2026-11-23"}',
        b'{"service": "a", "at": 1e18}',
        b'{"service": "a", "kind": "party"}',
        b'{"service": "a", "url": "javascript:alert(1)"}',
        b'{"service": "a", "deploy_id": "a b"}',
        b'{"service": "a", "at": "2199-01-01T00:00:00Z"}',
        b'{"service": "a", "description": "' + b"x" * 5000 + b'"}',
        b"\xff\xfe",
        b"[" * 30_000,
        b'{"a":' * 10_000,
    ],
)
async def test_a_deploy_that_is_not_one_is_a_clients_mistake(client: httpx.AsyncClient, body: bytes) -> None:
    """400 or 422 with a problem document, whatever the body."""
    response = await client.post("/api/v1/deploys", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, Slug.BAD_REQUEST if response.status_code == 400 else Slug.INVALID)


async def test_a_deploy_that_is_not_sent_as_json_is_told_so(client: httpx.AsyncClient) -> None:
    """`curl -d` without a header sends a form."""
    for content_type in ("application/x-www-form-urlencoded", "text/plain", ""):
        headers = {"Content-Type": content_type}
        response = await client.post("/api/v1/deploys", content=b'{"service": "a"}', headers=headers)
        assert_problem(response, Slug.UNSUPPORTED_MEDIA_TYPE)
    response = await client.post(
        "/api/v1/deploys", content=b'{"service": ""}', headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert_problem(response, Slug.INVALID)


async def test_a_body_over_its_limit_is_413_also_when_it_is_streamed(client: httpx.AsyncClient) -> None:
    """And no more than the limit is read of a body without Content-Length."""
    read_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read_bytes
        while read_bytes < 50 * OTLP_LIMIT_BYTES:
            read_bytes += 1024
            yield b"x" * 1024

    response = await client.post("/v1/traces", content=b"x" * (OTLP_LIMIT_BYTES + 1), headers=PROTOBUF)
    assert (response.status_code, status_message(response).code) == (413, 8)
    assert (await client.post("/v1/traces", content=endless(), headers=PROTOBUF)).status_code == 413
    assert read_bytes <= OTLP_LIMIT_BYTES + 2048
    response = await client.post("/api/v1/deploys", content=b"x" * (JSON_LIMIT_BYTES + 1))
    assert_problem(response, Slug.TOO_LARGE)
    response = await client.post("/v1/traces", content=b"\n\0" * (OTLP_LIMIT_BYTES // 2), headers=PROTOBUF)
    assert response.status_code == 200, "a body of exactly the limit is taken"


@pytest.mark.parametrize("length", ["-1", "x", "9" * 400, "9" * 5_000, "²"])
async def test_a_senseless_content_length_is_refused(app: FastAPI, length: str) -> None:
    """A proxy in front may let it through."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"x-api-key", KEY.encode()), (b"content-length", length.encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/logs", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] in (400, 413)


async def test_a_bug_of_ours_is_500_and_tells_nothing(app: FastAPI, client: httpx.AsyncClient) -> None:
    """The client gets a request id, the log gets the rest."""

    @app.get("/api/v1/bug")
    async def bug() -> None:
        raise RuntimeError("password=hunter2")

    with structlog.testing.capture_logs() as lines:
        response = await client.get("/api/v1/bug")
    assert_problem(response, Slug.INTERNAL)
    assert "hunter2" not in response.text
    assert [line["event"] for line in lines] == ["request_failed", "request_served"]
    assert lines[0]["request_id"] == response.headers["x-request-id"]


async def test_a_number_that_json_cannot_carry_leaves_as_null(app: FastAPI, client: httpx.AsyncClient) -> None:
    """NaN and the infinities are never sent."""

    @app.get("/api/v1/nan")
    async def nan() -> dict[str, Any]:
        return {"a": float("nan"), "b": [float("inf")]}

    response = await client.get("/api/v1/nan")
    assert response.json() == {"a": None, "b": [None]}


async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient) -> None:
    """Also errors; the docs page alone may run its own scripts, and nothing foreign."""
    for path in ("/livez", "/api/v1/incidents", "/api/v1/nothing", "/docs"):
        headers = (await client.get(path)).headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert headers["content-security-policy"].startswith("default-src 'none'")
    page = (await client.get("/docs")).text
    assert "http" not in page
    for asset in ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css"):
        assert asset in page
        assert (await client.get(asset)).status_code == 200


async def test_the_log_line_of_a_request_holds_no_secret_and_cannot_be_forged(client: httpx.AsyncClient) -> None:
    """Neither headers nor the query string are in it; the path stays percent-encoded."""
    with structlog.testing.capture_logs() as lines:
        await client.get("/api/v1/incidents/a%0Ab?token=hunter2")
    (line,) = [line for line in lines if line["event"] == "request_served"]
    assert (line["tenant"], line["status"], line["path"]) == ("acme", 422, "/api/v1/incidents/a%0Ab")
    assert KEY not in str(line)
    assert "hunter2" not in str(line)


async def test_requests_are_counted_by_route_template(client: httpx.AsyncClient) -> None:
    """A client that makes up paths makes no new series."""

    def count(route: str, status: str) -> float:
        labels = {"method": "GET", "route": route, "status": status}
        return REGISTRY.get_sample_value("incidentscope_api_requests_total", labels) or 0.0

    before = count("/api/v1/incidents/{incident_id}", "503"), count("unmatched", "404")
    for number in range(3):
        await client.get(f"/api/v1/incidents/inc-{number}")
        await client.get(f"/made/up/{number}")
    after = count("/api/v1/incidents/{incident_id}", "503"), count("unmatched", "404")
    assert (after[0] - before[0], after[1] - before[1]) == (3, 3)
    text = (await client.get("/metrics")).text
    assert "/made/up" not in text


async def test_metrics_are_told_whatever_version_of_their_format_is_asked_for(client: httpx.AsyncClient) -> None:
    """The path may be open: nobody may write tracebacks into our log through it."""
    for media_type in ("application/openmetrics-text", "text/plain"):
        for version in ("x", "1.x", "9" * 5000, "1.0.0\xe9"):
            accept = f"{media_type}; version={version}".encode("latin-1")
            answer = await client.get("/metrics", headers={b"Accept": accept})
            assert answer.status_code == 200, accept
            assert "incidentscope_api_requests_total" in answer.text


def test_a_problem_can_be_raised_with_headers() -> None:
    """They travel to the answer."""
    problem = Problem(Slug.NOT_FOUND, "gone", {"X": "y"})
    document = problem.document("/path", "id")
    assert (problem.headers, document.type) == ({"X": "y"}, "urn:incidentscope:problem:not-found")
