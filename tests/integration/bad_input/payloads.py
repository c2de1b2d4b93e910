"""OTLP requests that are sound but for what a test makes unsound."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


def present_ns() -> int:
    """Return a moment just past."""
    return time.time_ns() - 2 * SECOND_NS


def _named(resource: Any, service: str | None) -> None:
    if service is not None:
        name = resource.resource.attributes.add(key="service.name")
        name.value.string_value = service


def spans(*changes: dict[str, Any], service: str | None = "cart") -> ExportTraceServiceRequest:
    """Return one resource with a server span for each change; ids count from 1."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    _named(resource, service)
    scope = resource.scope_spans.add()
    end_ns = present_ns()
    for number, change in enumerate(changes, start=1):
        fields = {
            "trace_id": number.to_bytes(16, "big"),
            "span_id": number.to_bytes(8, "big"),
            "name": f"op {number}",
            "start_time_unix_nano": end_ns - 5_000_000,
            "end_time_unix_nano": end_ns,
            "kind": 2,
        }
        scope.spans.add(**{**fields, **change})
    return request


def logs(*changes: dict[str, Any]) -> ExportLogsServiceRequest:
    """Return one resource with a log record for each change."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    _named(resource, "cart")
    scope = resource.scope_logs.add()
    for change in changes:
        scope.log_records.add(**{"time_unix_nano": present_ns(), "severity_number": 9, **change})
    return request


def metric(
    kind: str, *points: dict[str, Any], temporality: int = 1, name: str = "latency"
) -> ExportMetricsServiceRequest:
    """Return one metric with these points."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    _named(resource, "cart")
    data = getattr(resource.scope_metrics.add().metrics.add(name=name), kind)
    if kind not in ("gauge", "summary"):
        data.aggregation_temporality = temporality
    for point in points:
        data.data_points.add(**{"time_unix_nano": present_ns(), **point})
    return request
