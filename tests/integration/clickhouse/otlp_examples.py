"""OTLP requests as producers send them, small and with everything in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Value = str | bool | int | float | bytes | None | Sequence["Value"] | Mapping[str, "Value"]

ARRIVAL_NS = 1_780_000_000_000_000_000
SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(1, 9))

EVERY_TYPE: dict[str, Value] = {
    "text": "200",
    "number": 200,
    "largest": 2**63 - 1,
    "ratio": 0.25,
    "yes": True,
    "no": False,
    "raw": b"\x00\xff",
    "list": ["a", 1, True],
    "tree": {"a": {"b": [1, {"c": "deep"}]}},
    "nothing": None,
    "empty": "",
}


def any_value(value: Value) -> AnyValue:
    """Return a Python value as OTLP's AnyValue."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            made = AnyValue()
            made.kvlist_value.values.extend(pairs(value))
            return made
    made = AnyValue()
    made.array_value.values.extend(any_value(inner) for inner in value)
    return made


def pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def spans(count: int = 1, service: str = "checkout", trace_id: bytes = TRACE_ID) -> ExportTraceServiceRequest:
    """Return a request of sound spans of one service, a second apart, span ids counting from 1."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(pairs({"service.name": service}))
    scope = resource.scope_spans.add()
    for number in range(1, count + 1):
        scope.spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8, "big"),
            name=f"GET /{number}",
            start_time_unix_nano=ARRIVAL_NS - number * SECOND_NS,
            end_time_unix_nano=ARRIVAL_NS - number * SECOND_NS + 5_000_000,
        )
    return request


def logs(count: int = 1, service: str = "checkout") -> ExportLogsServiceRequest:
    """Return a request of log records of one service, a second apart."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(pairs({"service.name": service}))
    scope = resource.scope_logs.add()
    for number in range(1, count + 1):
        scope.log_records.add(
            time_unix_nano=ARRIVAL_NS - number * SECOND_NS, severity_number=9, body=any_value(f"line {number}")
        )
    return request


def gauges(count: int = 1, service: str = "checkout") -> ExportMetricsServiceRequest:
    """Return a request of one gauge with some points."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend(pairs({"service.name": service}))
    metric = resource.scope_metrics.add().metrics.add(name="queue.depth", unit="1")
    for number in range(1, count + 1):
        metric.gauge.data_points.add(time_unix_nano=ARRIVAL_NS - number * SECOND_NS, as_int=number)
    return request
