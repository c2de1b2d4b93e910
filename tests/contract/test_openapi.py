"""The API's description is complete: every route has words, examples that are true, and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema_rs import validator_for
from pydantic import SecretStr

from api.app import create_app
from schemas.settings import Settings

METHODS = ("get", "post", "put", "patch", "delete")
OPEN = {"/livez", "/readyz", "/metrics"}

APP = create_app(Settings(api_keys=SecretStr("key-of-acme:acme"), _env_file=None))
DOCUMENT: dict[str, Any] = APP.openapi()
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method.upper()} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if method in METHODS
]
EXPECTED = {
    "GET /api/v1/incidents",
    "GET /api/v1/incidents/{incident_id}",
    "GET /api/v1/incidents/{incident_id}/timeline",
    "GET /api/v1/incidents/{incident_id}/hypotheses",
    "GET /api/v1/incidents/{incident_id}/evidence",
    "GET /api/v1/incidents/{incident_id}/overview",
    "GET /api/v1/incidents/{incident_id}/snapshot",
    "GET /api/v1/incidents/{incident_id}/similar",
    "GET /api/v1/services",
    "GET /api/v1/services/{service}",
    "GET /api/v1/services/{service}/budget",
    "GET /api/v1/services/{service}/health",
    "GET /api/v1/services/{service}/revisions",
    "GET /api/v1/services/{service}/signatures",
    "GET /api/v1/edges",
    "GET /api/v1/traces/{trace_id}",
    "GET /api/v1/traces/{trace_id}/logs",
    "GET /api/v1/deploys",
    "POST /api/v1/deploys",
    "GET /api/v1/alerts",
    "GET /api/v1/alerts/{alert_id}",
    "GET /api/v1/dead-letters",
    "GET /api/v1/dead-letters/{key}",
    "POST /api/v1/dead-letters/{key}/replay",
    "GET /api/v1/reconcile",
    "POST /v1/traces",
    "POST /v1/metrics",
    "POST /v1/logs",
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
}


def contents(operation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return every documented body of an operation: requests and answers."""
    found = [("request", body) for body in operation.get("requestBody", {}).get("content", {}).items()]
    for status, answer in operation["responses"].items():
        found += [(status, body) for body in answer.get("content", {}).items()]
    return [(f"{where} {media_type}", body) for where, (media_type, body) in found]


def examples_of(body: dict[str, Any]) -> list[Any]:
    """Return the examples of a body."""
    return [body["example"]] if "example" in body else [one["value"] for one in body.get("examples", {}).values()]


def test_the_routes_are_these() -> None:
    """A route that comes or goes changes this list on purpose."""
    assert {f"{method.upper()} {path}" for path, method, _ in (case.values for case in OPERATIONS)} == EXPECTED


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    """Summary, description, one known tag, and each parameter with words."""
    assert operation["summary"]
    assert operation["description"].endswith((".", "`."))
    (tag,) = operation["tags"]
    assert tag in {known["name"] for known in DOCUMENT["tags"]}
    for parameter in operation.get("parameters", []):
        assert parameter.get("description"), parameter["name"]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_json_body_has_an_example_that_fits_its_schema(path: str, method: str, operation: dict[str, Any]) -> None:
    """Of requests, answers and errors."""
    bodies = contents(operation)
    assert bodies
    for where, body in bodies:
        if body.get("schema", {}).get("format") == "binary":
            continue
        found = examples_of(body)
        assert found, where
        schema = {**body["schema"], "components": DOCUMENT["components"]}
        for example in found:
            validator_for(schema).validate(example)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_names_its_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    """As problem documents, or as google.rpc.Status where OTLP says so."""
    if path in OPEN:
        return
    documented = {status for status in operation["responses"] if status >= "400"}
    assert {"400", "401", "403", "422", "429", "500", "503"} <= documented
    if "{" in path and not path.endswith(("/budget", "/health", "/logs", "/revisions", "/signatures")):
        assert "404" in documented
    for status in documented:
        content = operation["responses"][status]["content"]
        expected = (
            {"application/json", "application/x-protobuf"} if path.startswith("/v1/") else {"application/problem+json"}
        )
        assert set(content) == expected


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
async def test_every_operation_but_the_open_ones_needs_a_key(path: str, method: str, operation: dict[str, Any]) -> None:
    """Either way to send it, and the description says so."""
    assert operation.get("security") == (None if path in OPEN else [{"bearer": []}, {"apiKey": []}])
    if path not in OPEN:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://api") as client:
            response = await client.request(method, path.replace("{", "").replace("}", ""))
        assert response.status_code == 401


def test_what_it_is_is_said_once() -> None:
    """Summary and description stand below each other at /docs."""
    info = DOCUMENT["info"]
    assert not info["description"].startswith(info["summary"].removesuffix("."))


def test_states_that_nobody_reaches_yet_are_called_reserved() -> None:
    """In the filter and in the answers; nobody waits for what is never written."""
    (state,) = [one for one in DOCUMENT["paths"]["/api/v1/incidents"]["get"]["parameters"] if one["name"] == "state"]
    incident = DOCUMENT["components"]["schemas"]["IncidentView"]["properties"]
    for described, names in (
        (state, ("acknowledged", "mitigated", "closed")),
        (incident["state"], ("acknowledged", "mitigated", "closed")),
        (incident["resolve_reason"], ("by_hand",)),
    ):
        assert "Reserved" in described["description"]
        assert all(name in described["description"] for name in names)


def test_the_overview_of_the_documentation_names_every_view_of_a_service() -> None:
    """The last part of each path."""
    overview = (Path(__file__).parents[2] / "docs/api.md").read_text()
    views = [path.rpartition("/")[2] for path in DOCUMENT["paths"] if path.startswith("/api/v1/services/{service}/")]
    assert all(f"`…/{view}`" in overview for view in views)


def test_operation_ids_are_unique() -> None:
    """Generated clients name their methods after them."""
    ids = [operation["operationId"] for _, _, operation in (case.values for case in OPERATIONS)]
    assert len(set(ids)) == len(ids)
