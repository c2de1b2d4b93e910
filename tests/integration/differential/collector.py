"""The figures of a real Collector: its spanmetrics and servicegraph connectors, written by its file exporter."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from figures import BOUNDS_MS, Edge, Figures, Operation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port
from deploy.embedded.servers import Child

PATIENCE_S = 120.0
PROTOBUF = {"content-type": "application/x-protobuf"}

HALF_EDGE_TTL_S = 60
"""The servicegraph connector waits by the wall clock: long enough for a slow machine between two spans of a trace."""

BUCKETS = ", ".join(f"{bound}ms" for bound in BOUNDS_MS)
CONFIG = f"""
receivers:
  otlp: {{protocols: {{http: {{endpoint: "${{env:OTLP_HTTP_ENDPOINT}}"}}}}}}
connectors:
  spanmetrics:
    histogram: {{unit: ms, explicit: {{buckets: [{BUCKETS}]}}}}
    metrics_flush_interval: 500ms
  servicegraph:
    store: {{ttl: {HALF_EDGE_TTL_S}s, max_items: 10000000}}
    metrics_flush_interval: 500ms
exporters:
  file: {{path: "${{env:METRICS_FILE}}", format: proto, flush_interval: 200ms}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [spanmetrics, servicegraph]}}
    metrics: {{receivers: [spanmetrics, servicegraph], exporters: [file]}}
"""


@dataclass
class CollectorFigures(Figures):
    """What the Collector says; its histograms by operation."""

    durations: dict[Operation, list[int]] = field(default_factory=dict)


@asynccontextmanager
async def collector(folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """Run a Collector; give its OTLP/HTTP address for traces and the file its metrics go to."""
    (folder / "config.yaml").write_text(CONFIG)
    port, metrics, log = any_free_port(), folder / "metrics.otlp", folder / "collector.log"
    environment = {"OTLP_HTTP_ENDPOINT": f"127.0.0.1:{port}", "METRICS_FILE": str(metrics)}
    command = [os.path.join(os.environ["OTELCOL_DIR"], "run"), "--config", str(folder / "config.yaml")]
    url = f"http://127.0.0.1:{port}/v1/traces"
    async with KeptServers([Child("collector", command, str(folder), str(log), env=environment)]) as kept:
        async with asyncio.timeout(PATIENCE_S):
            while not await _answers(url):
                assert not kept.ended, log.read_text()[-2000:]
                await asyncio.sleep(0.2)
        yield url, metrics


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            await client.post(url, content=b"", headers=PROTOBUF)
    except httpx.TransportError:
        return False
    return True


async def collector_figures(folder: Path, payloads: list[bytes], spans: int, pairs: int) -> CollectorFigures:
    """Send trace requests through a Collector; return its figures once it has told all spans and pairs."""
    async with collector(folder) as (url, metrics):
        async with httpx.AsyncClient() as client:
            for payload in payloads:
                (await client.post(url, content=payload, headers=PROTOBUF)).raise_for_status()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = read_figures(metrics)
                if sum(found.calls.values()) >= spans and sum(found.requests.values()) >= pairs:
                    return found
                await asyncio.sleep(0.5)


def read_figures(path: Path) -> CollectorFigures:
    """Read the newest value of each series (they are cumulative)."""
    found = CollectorFigures()
    totals: dict[tuple[Edge, bool], int] = {}
    for request in _requests(path.read_bytes() if path.exists() else b""):
        for resource in request.resource_metrics:
            service = next((a.value.string_value for a in resource.resource.attributes if a.key == "service.name"), "")
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                _read_calls(service, metric, found)
                _read_edges(metric, totals)
    for (edge, failed), count in totals.items():
        found.requests[edge] += count
        found.failures[edge] += count * failed
    return found


def _requests(written: bytes) -> Iterator[ExportMetricsServiceRequest]:
    """Yield the complete requests of a file: 4-byte big-endian length, message, and so on."""
    place = 0
    while place + 4 <= len(written):
        (length,) = struct.unpack_from(">I", written, place)
        place += 4 + length
        if place <= len(written):
            yield ExportMetricsServiceRequest.FromString(written[place - length : place])


def _read_calls(service: str, metric: Metric, found: CollectorFigures) -> None:
    if metric.name == "traces.span.metrics.calls":
        status_told: dict[tuple[str, str, str, bool], int] = {}
        for point in metric.sum.data_points:
            says = {a.key: a.value.string_value for a in point.attributes}
            key = (*_operation(service, says), says["status.code"] == "STATUS_CODE_ERROR")
            status_told[key] = status_told.get(key, 0) + point.as_int
        found.calls.update({key: count - found.calls[key] for key, count in status_told.items()})
    if metric.name == "traces.span.metrics.duration":
        told: dict[Operation, list[int]] = {}
        for point in metric.histogram.data_points:
            operation = _operation(service, {a.key: a.value.string_value for a in point.attributes})
            before = told.get(operation, [0] * len(point.bucket_counts))
            told[operation] = [a + b for a, b in zip(before, point.bucket_counts, strict=True)]
        found.durations |= told


def _operation(service: str, says: dict[str, str]) -> Operation:
    kind = says["span.kind"].removeprefix("SPAN_KIND_").lower()
    return says.get("service.name", service), says["span.name"], kind


def _read_edges(metric: Metric, totals: dict[tuple[Edge, bool], int]) -> None:
    """Keep the requests between two services: what is virtual has other rules and other names."""
    if metric.name != "traces_service_graph_request_total":
        return
    for point in metric.sum.data_points:
        says = {a.key: a.value for a in point.attributes}
        if says["connection_type"].string_value in ("", "messaging_system"):
            edge = says["client"].string_value, says["server"].string_value
            failed = says["failed"].bool_value or says["failed"].string_value == "true"
            totals[edge, failed] = point.as_int
