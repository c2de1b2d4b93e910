"""Schemathesis makes requests from our own description, good and bad, and sends them to the served application.

No answer is a 5xx, and every answer is one that the description announces.
"""

from __future__ import annotations

import asyncio
import os

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from schemas.settings import Settings

# Raise it for a long night; 100 take two minutes.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
KEY = "key-of-t399"
DOCUMENT = create_app(Settings(api_keys=f"{KEY}:t399", _env_file=None)).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations()}


@pytest.mark.parametrize("label", sorted(OPERATIONS))
async def test_no_request_that_can_be_made_up_is_answered_5xx(base_url: str, label: str) -> None:
    """Both requests that follow the description and requests that do not."""
    await asyncio.to_thread(fuzz, label, base_url)


def fuzz(label: str, base_url: str) -> None:
    """Send made-up requests of one operation."""
    operation = OPERATIONS[label]
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def send(case: schemathesis.Case) -> None:
        response = case.call(base_url=base_url, headers={"Authorization": f"Bearer {KEY}"})
        assert response.status_code < 500, f"{case.as_curl_command()}\n{response.text}"
        case.validate_response(
            response, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
        )

    send()


TARGETS = (
    b"/api/v1/incidents/\xff\xfe",
    b"/api/v1/incidents?service=\xc3\x28",
    b"/%",
    b"/%zz",
    b"/api/v1/services/%2e%2e%2f",
    b"//",
    b"/api/v1/incidents/" + b"a" * 20_000,
    b"*",
    b"http://other/api/v1/incidents",
)


async def test_raw_bytes_on_the_wire_are_never_answered_5xx(base_url: str) -> None:
    """What no HTTP client would send: paths and queries of any bytes."""
    port = int(base_url.rpartition(":")[2])
    for target in TARGETS:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET %b HTTP/1.1\r\nHost: a\r\nX-API-Key: %b\r\nConnection: close\r\n\r\n" % (target, KEY.encode())
        )
        status = (await reader.readline()).split()
        writer.close()
        assert not status or status[1] < b"500", (target, status)


async def test_the_documentation_is_served_over_http(base_url: str) -> None:
    """Page, script, description."""
    async with httpx.AsyncClient(base_url=base_url) as client:
        for path in ("/docs", "/docs/start.js", "/docs/assets/swagger-ui-bundle.js", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
