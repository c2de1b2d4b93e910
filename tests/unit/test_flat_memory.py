"""A large item may need much room in any column, and takes memory for what is written only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from schemas.topics import TRACES
from streams.flat_columns import Flattener, warm_up

PAGE_MIB = 1 / 256
LARGE_BYTES = 500_000
MESSAGES = 30
MOST_MIB = 64.0
"""Fifteen megabytes of messages, joined piece by piece, and columns of a few kilobytes."""


def resident_mib() -> float:
    """Return how much memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MIB


def message(number: int) -> bytes:
    """Return a request with one span that has a large attribute."""
    span = Span(trace_id=number.to_bytes(16, "big"), span_id=b"12345678", name="GET /", end_time_unix_nano=number)
    span.attributes.add(key="body").value.string_value = "x" * LARGE_BYTES
    scope_spans = ScopeSpans(spans=[span])
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scope_spans])]).SerializeToString()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_spans_are_flattened_and_take_memory_for_what_is_written_only() -> None:
    """Each has room for eight times its size in every column; as many sheets are held as inserts wait."""
    warm_up()
    messages = [message(number) for number in range(1, MESSAGES + 1)]
    flattener = Flattener(TRACES.name)
    before_mib = resident_mib()
    held = [flattener.flatten(messages) for _ in range(3)]
    grown_mib = resident_mib() - before_mib
    assert [flat.rows.tolist() for flat in held] == [[1] * MESSAGES] * 3
    assert grown_mib < MOST_MIB


def test_a_large_span_is_followed_by_a_sheet_of_ordinary_size() -> None:
    """What one message needed is not set aside for all that come."""
    flattener = Flattener(TRACES.name)
    flattener.flatten([message(1)])
    small = flattener.flatten([message(2)[:0]])
    assert sum(piece.base.nbytes for piece in small.columns["trace_id"]) < 16 * LARGE_BYTES
