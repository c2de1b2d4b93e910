"""An OTLP/HTTP receiver that keeps the spans and logs it is sent: what any vendor's endpoint would see."""

from __future__ import annotations

import asyncio
import gzip
import socket
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from topologies.product import Server

ENOUGH = 16
"""Requests a median rests on."""


@dataclass(frozen=True)
class ReceivedSpan:
    """A span and who sent it."""

    service: str
    version: str
    instance: str
    span: Span

    @property
    def duration_ms(self) -> float:
        """How long it took."""
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e6

    @property
    def failed(self) -> bool:
        """Tell whether its status is an error."""
        return self.span.status.code == 2

    def text(self, key: str) -> str:
        """Return an attribute that is a string; empty when it is not there."""
        return next((one.value.string_value for one in self.span.attributes if one.key == key), "")


@dataclass
class Received:
    """Everything that came, in the order it came."""

    endpoint: str
    spans: list[ReceivedSpan] = field(default_factory=list, repr=False)
    logs: list[tuple[str, LogRecord]] = field(default_factory=list, repr=False)
    metrics: set[tuple[str, str, str]] = field(default_factory=set)
    """(service, metric name, kind of data)."""

    def server_spans(self, service: str, after_ns: int = 0) -> list[ReceivedSpan]:
        """Return the server spans of a service that began after an instant."""
        return [
            item
            for item in self.spans
            if item.service == service and item.span.kind == 2 and item.span.start_time_unix_nano > after_ns
        ]

    def clients(self, service: str, after_ns: int = 0) -> list[ReceivedSpan]:
        """Return the HTTP client spans of a service that began after an instant."""
        found = (item for item in self.spans if item.service == service and item.span.kind == 3)
        return [item for item in found if item.span.start_time_unix_nano > after_ns and item.text("url.full")]

    def queries(self, service: str, table: str, after_ns: int = 0) -> list[ReceivedSpan]:
        """Return the database spans of a service on a table that began after an instant."""
        found = (item for item in self.spans if item.service == service and table in item.text("db.query.text"))
        return [item for item in found if item.span.start_time_unix_nano > after_ns]

    def calls(self, client: str, server: str, after_ns: int) -> list[tuple[ReceivedSpan, ReceivedSpan]]:
        """Return pairs (client span, server span) of one connection that began after an instant."""
        clients = {item.span.span_id: item for item in self.spans if item.service == client and item.span.kind == 3}
        servers = self.server_spans(server, after_ns)
        pairs = ((clients.get(item.span.parent_span_id), item) for item in servers)
        return [(seen, item) for seen, item in pairs if seen and seen.span.start_time_unix_nano > after_ns]

    async def until(self, condition: object, patience_s: float = 120.0) -> None:
        """Wait until ``condition()`` holds."""
        assert callable(condition)
        async with asyncio.timeout(patience_s):
            while not condition():  # noqa: ASYNC110 - a test polls, there is no event to wait for
                await asyncio.sleep(0.2)

    def take(self, signal: str, body: bytes) -> None:
        """Keep one export request."""
        if signal == "traces":
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                who = [_attribute(spans.resource, f"service.{key}") for key in ("name", "version", "instance.id")]
                for scope in spans.scope_spans:
                    self.spans += [ReceivedSpan(*who, span) for span in scope.spans]
        elif signal == "logs":
            for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                service = _attribute(logs.resource, "service.name")
                self.logs += [(service, record) for scope in logs.scope_logs for record in scope.log_records]
        else:
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                service = _attribute(metrics.resource, "service.name")
                for scope in metrics.scope_metrics:
                    self.metrics |= {(service, metric.name, str(metric.WhichOneof("data"))) for metric in scope.metrics}


@asynccontextmanager
async def otlp_receiver() -> AsyncIterator[Received]:
    """Receive on a free port while the context is open."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    received = Received(f"http://{host}:{port}")

    async def accept(request: Request) -> Response:
        body = await request.body()
        unpacked = gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body
        received.take(request.path_params["signal"], unpacked)
        return Response(b"", media_type="application/x-protobuf")

    app = Starlette(routes=[Route("/v1/{signal}", accept, methods=["POST"])])
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield received
    finally:
        server.should_exit = True
        await serving


def median_ms(spans: list[ReceivedSpan]) -> float:
    """Return the median duration."""
    return statistics.median(item.duration_ms for item in spans)


def _attribute(resource: Resource, key: str) -> str:
    return next((item.value.string_value for item in resource.attributes if item.key == key), "")
