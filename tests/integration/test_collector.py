"""A real OpenTelemetry Collector with the configuration users take: OTLP in, our topics out, tenant in the header."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port
from deploy.embedded.servers import Child
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import LOGS, METRICS, TRACES
from sinks.kafka.topics import ensure_topics

CONFIG = Path(__file__).parents[2] / "deploy" / "collector" / "config.yaml"
EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PATIENCE_S = 60.0

pytestmark = [pytest.mark.otelcol, pytest.mark.timeout(240)]


class Collector:
    """A running Collector's two doors."""

    def __init__(self, grpc_port: int, http_port: int) -> None:
        self.grpc_address = f"127.0.0.1:{grpc_port}"
        self.http_url = f"http://127.0.0.1:{http_port}"

    async def post(self, signal: str, request: Message, tenant: str) -> None:
        """Send one request over OTLP/HTTP."""
        headers = {"content-type": "application/x-protobuf", TENANT_HEADER: tenant}
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{self.http_url}/v1/{signal}", content=request.SerializeToString(), headers=headers
            )
        answer.raise_for_status()

    async def call(self, request: ExportTraceServiceRequest, tenant: str) -> None:
        """Send traces over OTLP/gRPC."""
        async with grpc.aio.insecure_channel(self.grpc_address) as channel:
            export = channel.unary_unary(
                EXPORT_TRACES,
                request_serializer=ExportTraceServiceRequest.SerializeToString,
                response_deserializer=ExportTraceServiceResponse.FromString,
            )
            await export(request, metadata=((TENANT_HEADER, tenant),))

    async def is_open(self) -> bool:
        """Tell whether it answers."""
        try:
            await self.post("traces", ExportTraceServiceRequest(), "nobody")
        except httpx.TransportError:
            return False
        return True


@pytest.fixture
async def collector(broker: Settings, tmp_path: Path) -> AsyncIterator[Collector]:
    """Run the Collector in front of the broker."""
    await ensure_topics(broker, [TRACES, METRICS, LOGS])
    grpc_port, http_port = any_free_port(), any_free_port()
    environment = {
        "KAFKA_BROKERS": broker.kafka_brokers,
        "OTLP_GRPC_ENDPOINT": f"127.0.0.1:{grpc_port}",
        "OTLP_HTTP_ENDPOINT": f"127.0.0.1:{http_port}",
    }
    command = [os.path.join(os.environ["OTELCOL_DIR"], "run"), "--config", str(CONFIG)]
    log = tmp_path / "collector.log"
    running = Collector(grpc_port, http_port)
    async with KeptServers([Child("collector", command, str(tmp_path), str(log), env=environment)]) as kept:
        async with asyncio.timeout(PATIENCE_S):
            while not await running.is_open():
                assert not kept.ended, log.read_text()[-2000:]
                await asyncio.sleep(0.2)
        yield running


async def first_record(settings: Settings, topic: str) -> ConsumerRecord[bytes, bytes]:
    """Return the first record that comes on a topic."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest"
    ) as consumer:
        record: ConsumerRecord[bytes, bytes] = await asyncio.wait_for(consumer.getone(), PATIENCE_S)
        return record


def traces_named(name: str) -> ExportTraceServiceRequest:
    """Make a request with one span."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name=name, trace_id=b"t" * 16, span_id=b"s" * 8)
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
    return request


def span_names(payload: bytes) -> list[str]:
    """Name the spans of an OTLP payload (the Collector fills in empty parts, so bytes differ)."""
    request = ExportTraceServiceRequest.FromString(payload)
    return [span.name for r in request.resource_spans for scope in r.scope_spans for span in scope.spans]


async def test_traces_over_http_reach_kafka_with_their_tenant(collector: Collector, broker: Settings) -> None:
    """One span in over OTLP/HTTP, the same span out as OTLP protobuf on otel.traces."""
    await collector.post("traces", traces_named("GET /"), "acme")
    record = await first_record(broker, TRACES.name)
    assert dict(record.headers)[TENANT_HEADER] == b"acme"
    assert span_names(record.value) == ["GET /"]


async def test_traces_over_grpc_reach_kafka_with_their_tenant(collector: Collector, broker: Settings) -> None:
    """The other door of OTLP."""
    await collector.call(traces_named("charge"), "globex")
    record = await first_record(broker, TRACES.name)
    assert dict(record.headers)[TENANT_HEADER] == b"globex"
    assert span_names(record.value) == ["charge"]


async def test_metrics_and_logs_reach_their_topics(collector: Collector, broker: Settings) -> None:
    """All three signals have a topic of their own."""
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="queue.length")
    metric.gauge.data_points.add(time_unix_nano=1, as_int=3)
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1).body.string_value = "hello"
    await collector.post("metrics", metrics, "acme")
    await collector.post("logs", logs, "acme")
    stored = ExportMetricsServiceRequest.FromString((await first_record(broker, METRICS.name)).value)
    assert stored.resource_metrics[0].scope_metrics[0].metrics[0].name == "queue.length"
    told = ExportLogsServiceRequest.FromString((await first_record(broker, LOGS.name)).value)
    assert told.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "hello"


async def test_two_tenants_are_never_in_one_record(collector: Collector, broker: Settings) -> None:
    """The batch processor keeps them apart."""
    for number in range(10):
        await collector.post("traces", traces_named(f"{number % 2}"), f"tenant-{number % 2}")
    async with AIOKafkaConsumer(
        TRACES.name, bootstrap_servers=broker.kafka_brokers, auto_offset_reset="earliest"
    ) as consumer:
        seen = 0
        async with asyncio.timeout(PATIENCE_S):
            while seen < 10:
                record = await consumer.getone()
                tenant = dict(record.headers)[TENANT_HEADER].decode()
                names = span_names(record.value)
                assert {f"tenant-{name}" for name in names} == {tenant}
                seen += len(names)
