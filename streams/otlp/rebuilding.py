"""Make OTLP requests again from stored rows, so that what is stored goes through the same decoders as what comes in.

Only what decoders read is made again: resource, ids, names, kinds, times, status, attributes (of `KEYS`), exceptions
among span events, and the text of a log record. A row is a mapping by the column names of the raw tables.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.otlp.lines import EXCEPTION_KEYS
from streams.otlp.peers import PEER_KEYS
from streams.otlp.resources import RESOURCE_KEYS

Row = Mapping[str, Any]

KEYS: Mapping[str, list[str]] = {
    "resource_keys": sorted(key.decode() for key in RESOURCE_KEYS),
    "span_keys": sorted(key.decode() for key in PEER_KEYS),
    "exception_keys": sorted(key.decode() for key in EXCEPTION_KEYS),
}
"""The attributes that decoders read: of resources, of spans, and of log records and of events that are exceptions."""

ITEMS_A_REQUEST = 10_000
RESOURCES_A_REQUEST = 500
"""Well below what a decoder takes."""


def rebuild_spans(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield requests with these spans, in their order; rows of one resource should follow one another."""
    for runs in _cut(rows):
        request = ExportTraceServiceRequest()
        for run in runs:
            held = request.resource_spans.add()
            _set_resource(held.resource, run[0])
            spans = held.scope_spans.add().spans
            for row in run:
                _add_span(spans, row)
        yield request.SerializeToString()


def rebuild_logs(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield requests with these log records, as `rebuild_spans`."""
    for runs in _cut(rows):
        request = ExportLogsServiceRequest()
        for run in runs:
            held = request.resource_logs.add()
            _set_resource(held.resource, run[0])
            records = held.scope_logs.add().log_records
            for row in run:
                _add_log(records, row)
        yield request.SerializeToString()


def _cut(rows: Iterable[Row]) -> Iterator[list[list[Row]]]:
    """Yield what goes into one request: runs of rows of one resource."""
    runs: list[list[Row]] = []
    items = 0
    for _, run in groupby(rows, key=lambda row: (row["service"], row["resource_attributes"])):
        for row in run:
            full = items >= ITEMS_A_REQUEST or len(runs) >= RESOURCES_A_REQUEST
            if full:
                yield runs
                runs, items = [], 0
            if not runs or not _same_resource(runs[-1][0], row):
                runs.append([])
            runs[-1].append(row)
            items += 1
    if runs:
        yield runs


def _same_resource(first: Row, second: Row) -> bool:
    return bool(first["service"] == second["service"] and first["resource_attributes"] == second["resource_attributes"])


def _set_resource(resource: Any, row: Row) -> None:
    _add_attributes(resource.attributes, row["resource_attributes"], row["resource_attribute_types"])


def _add_span(spans: Any, row: Row) -> None:
    span = spans.add(
        trace_id=bytes.fromhex(row["trace_id_hex"]),
        span_id=bytes.fromhex(row["span_id_hex"]),
        parent_span_id=_parent(row["parent_span_id_hex"]),
        name=row["name"],
        start_time_unix_nano=row["start_unix_nano"],
        end_time_unix_nano=row["end_unix_nano"],
    )
    span.kind, span.status.code = row["kind_code"], row["status_code"]
    _add_attributes(span.attributes, row["attributes"], row["attribute_types"])
    for event in row["events"]:
        added = span.events.add(time_unix_nano=event["unix_nano"], name=event["name"])
        _add_attributes(added.attributes, event["attributes"], event["attribute_types"])


def _parent(text: str) -> bytes:
    parent = bytes.fromhex(text)
    return parent if any(parent) else b""


def _add_log(records: Any, row: Row) -> None:
    record = records.add(
        time_unix_nano=row["unix_nano"],
        observed_time_unix_nano=row["observed_unix_nano"],
        severity_text=row["severity_text"],
        event_name=row["event_name"],
    )
    record.severity_number = row["severity_number"]
    if any(bytes.fromhex(row["trace_id_hex"])):
        record.trace_id, record.span_id = bytes.fromhex(row["trace_id_hex"]), bytes.fromhex(row["span_id_hex"])
    _set_body(record.body, row["body"], row["body_type"])
    _add_attributes(record.attributes, row["attributes"], row["attribute_types"])


def _set_body(value: Any, text: str, kind: str) -> None:
    if kind in ("array", "map"):
        _set_json(value, json.loads(text))
    elif kind != "empty":
        _set_value(value, text, kind)


def _set_json(value: Any, found: Any) -> None:
    """Set a value from the JSON that a structured body is stored as."""
    if isinstance(found, dict):
        value.kvlist_value.SetInParent()
        for key, inner in found.items():
            _set_json(value.kvlist_value.values.add(key=key).value, inner)
    elif isinstance(found, list):
        value.array_value.SetInParent()
        for inner in found:
            _set_json(value.array_value.values.add(), inner)
    elif isinstance(found, bool):
        value.bool_value = found
    elif isinstance(found, int) and -(2**63) <= found < 2**63:
        value.int_value = found
    elif isinstance(found, float | int):
        value.double_value = float(found)
    elif isinstance(found, str):
        value.string_value = found


def _add_attributes(pairs: Any, texts: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    for key, text in texts.items():
        _set_value(pairs.add(key=key).value, text, kinds.get(key, "string"))


def _set_value(value: Any, text: str, kind: str) -> None:
    match kind:
        case "int":
            value.int_value = int(text)
        case "double":
            value.double_value = float(text)
        case "bool":
            value.bool_value = text == "true"
        case "bytes":
            value.bytes_value = base64.b64decode(text)
        case "array":
            value.array_value.ParseFromString(base64.b64decode(text))
        case "map":
            value.kvlist_value.ParseFromString(base64.b64decode(text))
        case "string":
            value.string_value = text
