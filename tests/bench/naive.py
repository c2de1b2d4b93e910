"""What one would write first: the full protobuf schema and Python dictionaries. What ours is measured against.

The peers run it in an environment of their own, where nothing of ours is installed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PANE_NS = 10_000_000_000

COLUMNS = (
    "tenant", "service", "start_time", "trace_id", "span_id", "parent_span_id", "name", "kind_code", "status_code",
    "status_message", "duration_ns", "start_unix_nano", "end_unix_nano", "trace_state", "flags", "attributes",
    "attribute_types", "resource_attributes", "resource_attribute_types", "resource_schema_url", "scope_name",
    "scope_version", "scope_attributes", "scope_attribute_types", "scope_schema_url", "events", "links",
    "dropped_attributes", "dropped_events", "dropped_links", "marks", "kafka_partition", "kafka_offset", "item",
    "arrival_time",
)  # fmt: skip
"""Of ``spans``: all that is stored, as `add_naively` fills them."""

RECORD_COLUMNS = ("tenant", "topic", "kafka_partition", "kafka_offset", "items", "arrival_time")
"""Of ``landed_records``."""

Windows = dict[tuple[int, str, str, int], list[Any]]
"""(pane start, service, operation, kind) -> [requests, errors, {latency bin: count}]"""


def count_windows(payloads: Iterable[bytes], windows: Windows) -> int:
    """Count requests, errors and latency bins of all spans into ``windows``; return how many spans there were."""
    spans = 0
    for payload in payloads:
        for of_service in ExportTraceServiceRequest.FromString(payload).resource_spans:
            service = next(
                (pair.value.string_value for pair in of_service.resource.attributes if pair.key == "service.name"), ""
            )
            for scope in of_service.scope_spans:
                for span in scope.spans:
                    count_span(windows, service, span)
                spans += len(scope.spans)
    return spans


def count_span(windows: Windows, service: str, span: Any) -> None:
    """Count one span."""
    end_ns = span.end_time_unix_nano
    key = (end_ns - end_ns % PANE_NS, service, span.name, span.kind)
    window = windows.get(key)
    if window is None:
        window = windows[key] = [0, 0, {}]
    window[0] += 1
    window[1] += span.status.code == 2
    bins = window[2]
    duration_ns = end_ns - span.start_time_unix_nano
    place = int(32 * math.log2(duration_ns)) if duration_ns > 0 else 0
    bins[place] = bins.get(place, 0) + 1


def add_naively(record: Any, tenant: str, windows: Windows, rows: list[list[Any]]) -> list[Any]:
    """Parse a Kafka record of a tenant, count its spans into dictionaries, and make a row of Python values of each.

    The rows are what the landing stores of sound spans whose attributes are texts and integers. Returns the row of the
    record itself.
    """
    item, arrival_time = 0, _time(record.timestamp * 1_000_000)
    for of_service in ExportTraceServiceRequest.FromString(record.value).resource_spans:
        about, about_types = _maps(of_service.resource.attributes)
        for of_scope in of_service.scope_spans:
            scope = of_scope.scope
            scope_maps = _maps(scope.attributes)
            for span in of_scope.spans:
                count_span(windows, about["service.name"], span)
                start_ns, end_ns = span.start_time_unix_nano, span.end_time_unix_nano
                rows.append([
                    tenant, about["service.name"], start_ns, span.trace_id, span.span_id,
                    span.parent_span_id or bytes(8), span.name, span.kind, span.status.code, span.status.message,
                    max(end_ns - start_ns, 0), start_ns, end_ns, span.trace_state, span.flags,
                    *_maps(span.attributes), about, about_types, of_service.schema_url, scope.name, scope.version,
                    *scope_maps, of_scope.schema_url, [], [], span.dropped_attributes_count, span.dropped_events_count,
                    span.dropped_links_count, 2 * (end_ns < start_ns), record.partition, record.offset, item,
                    arrival_time,
                ])  # fmt: skip
                item += 1
    return [tenant, record.topic, record.partition, record.offset, item, arrival_time]


def _maps(attributes: Iterable[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of attributes, and the types of those that are no strings."""
    kinds = {pair.key: pair.value.WhichOneof("value") for pair in attributes}
    texts = {pair.key: str(getattr(pair.value, kinds[pair.key])) for pair in attributes}
    return texts, {key: kind.removesuffix("_value") for key, kind in kinds.items() if kind != "string_value"}


def _time(unix_nano: int) -> datetime:
    return datetime.fromtimestamp(unix_nano / 1e9, UTC)
