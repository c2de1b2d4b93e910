"""Cutting single items out of requests of each signal."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.errors import BadPayload
from streams.otlp import Signal
from streams.otlp.cutting import cut_into_pieces, cut_items


def traces() -> ExportTraceServiceRequest:
    """Return 24 spans named by their ordinal: 2 resources of 3 scopes of 4 spans."""
    request, number = ExportTraceServiceRequest(), 0
    for resource in (request.resource_spans.add(schema_url=url) for url in ("a", "b")):
        for scope in (resource.scope_spans.add() for _ in range(3)):
            scope.scope.name = f"scope of {number}"
            for _ in range(4):
                span = scope.spans.add(name=str(number))
                span.events.add(name=f"event of {number}")
                number += 1
    return request


def metrics() -> ExportMetricsServiceRequest:
    """Return three metrics of two points each, whose values are their ordinals."""
    request = ExportMetricsServiceRequest()
    held = request.resource_metrics.add().scope_metrics.add().metrics
    for first, kind in ((0, "sum"), (2, "gauge"), (4, "sum")):
        data = getattr(held.add(name=f"m{first}"), kind)
        for ordinal in (first, first + 1):
            data.data_points.add(as_int=ordinal)
    return request


def logs() -> ExportLogsServiceRequest:
    """Return three log records whose bodies are their ordinals."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for ordinal in range(3):
        scope.log_records.add().body.int_value = ordinal
    return request


def span_names(payload: bytes) -> list[str]:
    """Return the names of a request's spans."""
    request = ExportTraceServiceRequest.FromString(payload)
    return [span.name for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def test_cut_spans_keep_their_resource_scope_and_everything_else_of_theirs() -> None:
    """What our slim reading does not know comes along; what is empty then is gone."""
    request = ExportTraceServiceRequest.FromString(cut_items(Signal.TRACES, traces().SerializeToString(), [0, 5, 23]))
    places: list[Any] = [
        (resource.schema_url, scope.scope.name, span.name, span.events[0].name)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert places == [
        ("a", "scope of 0", "0", "event of 0"),
        ("a", "scope of 4", "5", "event of 5"),
        ("b", "scope of 20", "23", "event of 23"),
    ]


def test_items_of_metrics_are_points_and_of_logs_are_records() -> None:
    """Numbered through all metrics, in wire order."""
    cut = ExportMetricsServiceRequest.FromString(cut_items(Signal.METRICS, metrics().SerializeToString(), [1, 3, 4]))
    found = [
        (metric.name, [point.as_int for point in (*metric.sum.data_points, *metric.gauge.data_points)])
        for metric in cut.resource_metrics[0].scope_metrics[0].metrics
    ]
    assert found == [("m0", [1]), ("m2", [3]), ("m4", [4])]
    left = ExportLogsServiceRequest.FromString(cut_items(Signal.LOGS, logs().SerializeToString(), [2]))
    assert [record.body.int_value for record in left.resource_logs[0].scope_logs[0].log_records] == [2]


@pytest.mark.parametrize("limit_bytes", [1, 60, 100, 10_000])
def test_pieces_hold_every_item_once_and_keep_to_the_limit_where_they_can(limit_bytes: int) -> None:
    """A single item may be larger than the limit: it cannot be cut further."""
    items = [1, 3, 5, 7, 9, 11, 20, 22]
    pieces = list(cut_into_pieces(Signal.TRACES, traces().SerializeToString(), items, limit_bytes, 10_000))
    assert [item for piece, _ in pieces for item in piece] == items
    for piece, payload in pieces:
        assert span_names(payload) == [str(item) for item in piece]
        assert len(payload) <= limit_bytes or len(piece) == 1


def test_pieces_beyond_the_bound_together_are_one_last_piece() -> None:
    """What items share is in each piece: without a bound many small items make much of little."""
    items, payload = list(range(24)), traces().SerializeToString()
    pieces = list(cut_into_pieces(Signal.TRACES, payload, items, 60, 150))
    assert [item for piece, _ in pieces for item in piece] == items
    assert [span_names(request) for _, request in pieces] == [[str(item) for item in piece] for piece, _ in pieces]
    assert sum(min(len(request), 60) for _, request in pieces[:-1]) < 150 + 60
    assert len(pieces[-1][0]) > 12
    assert [piece for piece, _ in cut_into_pieces(Signal.TRACES, payload, items, 60, 0)] == [items]


def test_what_is_no_request_cannot_be_cut() -> None:
    """It raises what every decoder raises."""
    with pytest.raises(BadPayload, match="decode"):
        cut_items(Signal.TRACES, b"\xff\xff", [0])
