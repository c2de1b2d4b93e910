"""What one would write first: the full protobuf schema and Python dictionaries. What ours is measured against."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PANE_NS = 10_000_000_000

COLUMNS = ("tenant", "service", "start_time", "trace_id", "span_id", "name", "kind_code", "duration_ns",
           "attributes", "attribute_types", "resource_attributes")  # fmt: skip
"""Of ``spans``, as `add_naively` fills them."""

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


def add_naively(value: bytes, windows: Windows, rows: list[list[Any]]) -> None:
    """Parse a message, count its spans into dictionaries, and make a row of Python values of each."""
    for of_service in ExportTraceServiceRequest.FromString(value).resource_spans:
        about = {pair.key: pair.value.string_value for pair in of_service.resource.attributes}
        for scope in of_service.scope_spans:
            for span in scope.spans:
                count_span(windows, about["service.name"], span)
                kinds = {pair.key: pair.value.WhichOneof("value") for pair in span.attributes}
                rows.append([
                    "naive", about["service.name"], datetime.fromtimestamp(span.start_time_unix_nano / 1e9, UTC),
                    span.trace_id, span.span_id, span.name, span.kind,
                    span.end_time_unix_nano - span.start_time_unix_nano,
                    {pair.key: str(getattr(pair.value, kinds[pair.key])) for pair in span.attributes},
                    {key: kind.removesuffix("_value") for key, kind in kinds.items() if kind != "string_value"},
                    about,
                ])  # fmt: skip
