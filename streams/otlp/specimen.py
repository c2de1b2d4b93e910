"""A request of each signal that is known to be good: whoever refuses it is broken, not its sender.

It holds what requests hold: attributes of each type, events and links, each kind of metric. The plain one has only what
is landed as flat rows; of the other one, something is not.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.otlp.columns import Signal

SERVICE = "incidentscope-specimen"
_IDS = {"trace_id": b"specimen" * 2, "span_id": b"specimen"}


def specimen(signal: Signal, at_ns: int, *, is_plain: bool = False) -> bytes:
    """Return a request of the signal whose items are of this instant."""
    return bytes(_MAKERS[signal](at_ns, is_plain).SerializeToString())


def _spans(at_ns: int, is_plain: bool) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    spans = _scope(request.resource_spans.add(), "scope_spans").spans
    for kind in range(1, 6):
        span = spans.add(
            trace_id=_IDS["trace_id"],
            span_id=b"specime%d" % kind,
            name="GET /specimen",
            kind=kind,
            start_time_unix_nano=at_ns - 1_000_000,
            end_time_unix_nano=at_ns,
        )
        span.status.code = kind % 3  # the number of a status
        span.events.add(time_unix_nano=at_ns, name="exception").attributes.add(
            key="exception.type"
        ).value.string_value = "E"
        span.links.add(**_IDS)
        _attributes(span.attributes, is_plain)
    return request


def _logs(at_ns: int, is_plain: bool) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    record = _scope(request.resource_logs.add(), "scope_logs").log_records.add(
        time_unix_nano=at_ns, observed_time_unix_nano=at_ns, severity_text="ERROR", **_IDS
    )
    record.severity_number = 17  # ERROR
    record.body.string_value = "payment 42 refused"
    _attributes(record.attributes, is_plain)
    return request


def _metrics(at_ns: int, is_plain: bool) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metrics = _scope(request.resource_metrics.add(), "scope_metrics").metrics
    values: dict[str, dict[str, Any]] = {
        "gauge": {"as_double": 1.5},
        "sum": {"as_int": 3},
        "histogram": {"count": 3, "sum": 4.5, "bucket_counts": [1, 2], "explicit_bounds": [1.0]},
        "exponential_histogram": {"count": 1, "sum": 0.0, "scale": 1, "zero_count": 1},
        "summary": {"count": 1, "sum": 1.0},
    }
    for kind, fields in values.items():
        held = getattr(metrics.add(name=f"specimen.{kind}", description="known to be good", unit="1"), kind)
        point = held.data_points.add(start_time_unix_nano=at_ns - 1_000_000_000, time_unix_nano=at_ns, **fields)
        if kind != "summary" and kind != "gauge":
            held.aggregation_temporality = 2
        _attributes(point.attributes, is_plain)
    return request


_MAKERS = {Signal.TRACES: _spans, Signal.LOGS: _logs, Signal.METRICS: _metrics}


def _scope(held: Any, field: str) -> Any:
    """Name the service of a resource; return its one scope."""
    held.resource.attributes.add(key="service.name").value.string_value = SERVICE
    scope = getattr(held, field).add()
    scope.scope.name, scope.scope.version = SERVICE, "1"
    return scope


def _attributes(pairs: Any, is_plain: bool) -> None:
    pairs.add(key="text").value.string_value = "a"
    pairs.add(key="int").value.int_value = -1
    pairs.add(key="double").value.double_value = 0.5
    pairs.add(key="bool").value.bool_value = True
    pairs.add(key="bytes").value.bytes_value = b"\x00\xff"
    pairs.add(key="array").value.array_value.values.add().string_value = "b"
    inner = pairs.add(key="map").value.kvlist_value.values.add(key="c")
    inner.value.int_value = 1
    if not is_plain:
        pairs.add(key="long").value.string_value = "\u00e4" * 1_500  # has to be cut, and half a character is none
