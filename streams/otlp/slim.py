"""A slim reading of OTLP's protobuf: only the fields that windows need, all text as bytes.

Wire compatible with opentelemetry-proto 1.x. Three things are on purpose: text is declared ``bytes``, so an
invalid UTF-8 name does not cost the whole message; attributes, events, status and data points stay unparsed bytes,
so most are never looked at; and nothing is recursive, so no depth of nesting can hurt.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from schemas.errors import BadPayload, RejectReason

_TYPES = descriptor_pb2.FieldDescriptorProto
_BYTES, _INT32, _INT64 = _TYPES.TYPE_BYTES, _TYPES.TYPE_INT32, _TYPES.TYPE_INT64
_FIXED64, _DOUBLE, _BOOL = _TYPES.TYPE_FIXED64, _TYPES.TYPE_DOUBLE, _TYPES.TYPE_BOOL
_SFIXED64, _UINT32 = _TYPES.TYPE_SFIXED64, _TYPES.TYPE_UINT32
_UINT64, _SINT32 = _TYPES.TYPE_UINT64, _TYPES.TYPE_SINT32

# message -> field -> (number, type or message name, repeated)
_SCHEMA: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "AnyValue": {
        "string_value": (1, _BYTES, False),
        "bool_value": (2, _BOOL, False),
        "int_value": (3, _INT64, False),
        "double_value": (4, _DOUBLE, False),
        "kvlist_value": (6, _BYTES, False),
    },
    "KeyValue": {"key": (1, _BYTES, False), "value": (2, "AnyValue", False)},
    "KeyValueList": {"values": (1, _BYTES, True)},
    "Resource": {"attributes": (1, _BYTES, True)},
    "Status": {"code": (3, _INT32, False)},
    "Span": {
        "trace_id": (1, _BYTES, False),
        "span_id": (2, _BYTES, False),
        "parent_span_id": (4, _BYTES, False),
        "name": (5, _BYTES, False),
        "kind": (6, _INT32, False),
        "start_ns": (7, _FIXED64, False),
        "end_ns": (8, _FIXED64, False),
        "attributes": (9, _BYTES, True),
        "events": (11, _BYTES, True),
        "status": (15, _BYTES, False),
    },
    "Event": {"name": (2, _BYTES, False), "attributes": (3, _BYTES, True)},
    "ScopeSpans": {"spans": (2, "Span", True)},
    "ResourceSpans": {"resource": (1, "Resource", False), "scopes": (2, "ScopeSpans", True)},
    "TraceRequest": {"resources": (1, "ResourceSpans", True)},
    "LogRecord": {
        "time_ns": (1, _FIXED64, False),
        "severity_number": (2, _INT32, False),
        "severity_text": (3, _BYTES, False),
        "body": (5, _BYTES, False),
        "attributes": (6, _BYTES, True),
        "trace_id": (9, _BYTES, False),
        "span_id": (10, _BYTES, False),
        "observed_ns": (11, _FIXED64, False),
    },
    "ScopeLogs": {"records": (2, "LogRecord", True)},
    "ResourceLogs": {"resource": (1, "Resource", False), "scopes": (2, "ScopeLogs", True)},
    "LogRequest": {"resources": (1, "ResourceLogs", True)},
    "Data": {"points": (1, _BYTES, True), "temporality": (2, _INT32, False), "is_monotonic": (3, _BOOL, False)},
    "NumberPoint": {
        "time_ns": (3, _FIXED64, False),
        "as_double": (4, _DOUBLE, False),
        "as_int": (6, _SFIXED64, False),
        "attributes": (7, _BYTES, True),
        "flags": (8, _UINT32, False),
    },
    "HistogramPoint": {
        "count": (4, _FIXED64, False),
        "bucket_counts": (6, _FIXED64, True),
        "bounds": (7, _DOUBLE, True),
    },
    "Buckets": {"bucket_counts": (2, _UINT64, True)},
    "ExponentialPoint": {
        "count": (4, _FIXED64, False),
        "scale": (6, _SINT32, False),
        "zero_count": (7, _FIXED64, False),
        "positive": (8, "Buckets", False),
        "negative": (9, "Buckets", False),
    },
    "Metric": {
        "name": (1, _BYTES, False),
        "unit": (3, _BYTES, False),
        "gauge": (5, "Data", False),
        "sum": (7, "Data", False),
        "histogram": (9, "Data", False),
        "exponential_histogram": (10, "Data", False),
        "summary": (11, "Data", False),
    },
    "ScopeMetrics": {"metrics": (2, "Metric", True)},
    "ResourceMetrics": {"resource": (1, "Resource", False), "scopes": (2, "ScopeMetrics", True)},
    "MetricRequest": {"resources": (1, "ResourceMetrics", True)},
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="incidentscope/slim_otlp.proto", package="incidentscope.slim", syntax="proto3"
    )
    for message_name, fields in _SCHEMA.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind, repeated) in fields.items():
            label = _TYPES.LABEL_REPEATED if repeated else _TYPES.LABEL_OPTIONAL
            if isinstance(kind, str):
                type_name = f".{file.package}.{kind}"
                message.field.add(
                    name=field_name, number=number, label=label, type=_TYPES.TYPE_MESSAGE, type_name=type_name
                )
            else:
                message.field.add(name=field_name, number=number, label=label, type=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in _SCHEMA
    }


METRIC_TYPES = ("gauge", "sum", "histogram", "exponential_histogram", "summary")

_CLASSES = _message_classes()

AnyValue: Any = _CLASSES["AnyValue"]
KeyValueList: Any = _CLASSES["KeyValueList"]
KeyValue: Any = _CLASSES["KeyValue"]
Status: Any = _CLASSES["Status"]
Event: Any = _CLASSES["Event"]
NumberPoint: Any = _CLASSES["NumberPoint"]
HistogramPoint: Any = _CLASSES["HistogramPoint"]
ExponentialPoint: Any = _CLASSES["ExponentialPoint"]
TraceRequest: Any = _CLASSES["TraceRequest"]
LogRequest: Any = _CLASSES["LogRequest"]
MetricRequest: Any = _CLASSES["MetricRequest"]


def parse(message_class: Any, payload: bytes) -> Any:
    """Parse a message; raises `BadPayload` (``decode``) when the bytes are none."""
    try:
        return message_class.FromString(payload)
    except DecodeError:
        raise BadPayload(RejectReason.DECODE, f"{len(payload)} bytes that are not an OTLP request") from None
