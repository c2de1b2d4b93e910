"""OTLP JSON to protobuf (OTLP specification, "JSON Protobuf Encoding").

It is proto3's JSON mapping with these differences: trace and span ids are hexadecimal, enums are integers
(names are taken too), unknown fields are ignored.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.crowding import MOST_JSON_PARTS, has_more_parts
from schemas.errors import BadPayload, RejectReason
from streams.otlp.columns import Signal

_REQUESTS: dict[str, tuple[Signal, Any]] = {
    "resourceSpans": (Signal.TRACES, ExportTraceServiceRequest),
    "resource_spans": (Signal.TRACES, ExportTraceServiceRequest),
    "resourceLogs": (Signal.LOGS, ExportLogsServiceRequest),
    "resource_logs": (Signal.LOGS, ExportLogsServiceRequest),
    "resourceMetrics": (Signal.METRICS, ExportMetricsServiceRequest),
    "resource_metrics": (Signal.METRICS, ExportMetricsServiceRequest),
}
_OBJECT_LISTS = frozenset(_REQUESTS) | frozenset(
    (
        "scopeSpans", "scopeLogs", "scopeMetrics", "spans", "logRecords", "metrics", "dataPoints", "attributes",
        "scope_spans", "scope_logs", "scope_metrics", "log_records", "data_points", "events", "links", "exemplars",
    )
)  # fmt: skip
"""Fields whose items must be objects: the mapping would read anything else as an empty one."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character: what is left where JavaScript cut a text."""

_ID_FIELDS = frozenset(("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"))


def json_to_protobuf(raw: bytes, signal: Signal | None = None) -> bytes:
    """Return the protobuf form of an OTLP JSON request; raises `BadPayload`, see `open_payload`."""
    if has_more_parts(raw):
        raise BadPayload(
            RejectReason.TOO_LARGE, f"JSON of more than {MOST_JSON_PARTS} objects and lists, or mostly brackets"
        )
    try:
        document = json.loads(raw.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise BadPayload(RejectReason.DECODE, f"not JSON: {type(error).__name__}") from None
    if not isinstance(document, dict):
        raise BadPayload(RejectReason.DECODE, "JSON, but no object")
    known = [key for key in document if key in _REQUESTS]
    if not known:
        if document:
            raise BadPayload(RejectReason.DECODE, "JSON without resourceSpans, resourceLogs or resourceMetrics")
        return b""
    found, message_class = _REQUESTS[known[0]]
    if signal is not None and found is not signal:
        raise BadPayload(RejectReason.WRONG_SIGNAL, f"a {found} request where {signal} were expected")
    try:
        _prepare(document)
        message = json_format.ParseDict(document, message_class(), ignore_unknown_fields=True)
        return bytes(message.SerializeToString())
    except Exception as error:  # the mapping raises what it likes on hostile types
        raise BadPayload(RejectReason.DECODE, f"not OTLP JSON: {type(error).__name__}") from None


def _prepare(document: Any) -> None:
    """Rewrite hexadecimal ids in place, iteratively; what is not hexadecimal becomes an (invalid) empty id.

    Lone surrogates, which cannot be UTF-8, become U+FFFD: they cost no message.

    Raises `TypeError` for a list of items that are no objects.
    """
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, dict):
            for key, value in part.items():
                if key in _ID_FIELDS and isinstance(value, str):
                    part[key] = _hex_to_base64(value)
                elif isinstance(value, str):
                    part[key] = _SURROGATE.sub("\ufffd", value)
                elif isinstance(value, dict | list):
                    waiting.append(value)
                    if key in _OBJECT_LISTS and not all(isinstance(item, dict) for item in value):
                        raise TypeError(key)


def _hex_to_base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return ""
