"""The API as real clients meet it: the OpenTelemetry SDK's exporters over HTTP, and a rate limit in Redis."""

from __future__ import annotations

import asyncio

import httpx
from api_caller import Caller, Served, records_of
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic import SecretStr

from api.app import create_app
from api.rate_limit import BURST_S, RedisRateLimit
from sinks.redis import open_redis


async def test_the_opentelemetry_sdk_delivers_to_us_with_nothing_but_endpoint_and_key(
    acme: Caller, base_url: str
) -> None:
    """With its own gzip."""

    def send() -> None:
        exporter = OTLPSpanExporter(
            endpoint=f"{base_url}/v1/traces",
            headers={"authorization": f"Bearer key-of-{acme.tenant}"},
            compression=Compression.Gzip,
        )
        provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("test").start_as_current_span("POST /pay"):
            pass
        provider.shutdown()

    await asyncio.to_thread(send)
    (record,) = await records_of(acme, "otel.traces")
    (resource,) = ExportTraceServiceRequest.FromString(record.value or b"").resource_spans
    assert resource.scope_spans[0].spans[0].name == "POST /pay"


async def test_a_tenant_over_its_rate_is_told_to_wait_and_others_are_not(served: Served, acme: Caller) -> None:
    """One bucket for all replicas: here two applications share it."""
    keys = SecretStr(f"key-of-{acme.tenant}:{acme.tenant},key-of-calm-1:calm")
    settings = served.settings.model_copy(update={"api_keys": keys, "api_rate_limit_per_s": 0.5})
    answers: list[int] = []
    for app in (create_app(settings, served.stores), create_app(settings, served.stores)):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            for _ in range(4):
                response = await client.get("/api/v1/deploys", headers={"X-API-Key": f"key-of-{acme.tenant}"})
                answers.append(response.status_code)
            calm = await client.get("/api/v1/deploys", headers={"X-API-Key": "key-of-calm-1"})
    burst = int(0.5 * BURST_S)
    assert answers == [200] * burst + [429] * (8 - burst)
    assert int(response.headers["retry-after"]) >= 1
    assert calm.status_code == 200


async def test_without_redis_the_rate_limit_lets_everything_pass(served: Served) -> None:
    """A limit protects; it must not become an outage of its own."""
    away = open_redis(served.settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    limit = RedisRateLimit(lambda: away, 0.001)
    assert [await limit.wait_s("acme") for _ in range(30)] == [0.0] * 30
    await away.aclose()


async def test_readiness_names_each_dependency(served: Served) -> None:
    """All there: 200."""
    async with served.client("t0") as client:
        response = await client.get("/readyz", headers={"Authorization": ""})
    assert response.status_code == 200, response.text
    found = response.json()["dependencies"]
    assert {name: one["status"] for name, one in found.items()} == dict.fromkeys(
        ("clickhouse", "kafka", "postgres", "redis"), "ready"
    )
