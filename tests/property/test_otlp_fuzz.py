"""Hostile bytes: nothing but BadPayload comes out, from any door; sound items are what the full schema reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spans import Arrival, telemetry, traces_payload
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.errors import BadPayload
from streams.otlp import decode_logs, decode_metrics, decode_spans, open_payload
from streams.partials import ServicePartial
from streams.progress import Progress
from streams.stubs import decode_stubs

DOORS: list[Callable[[bytes], Any]] = [
    lambda raw: decode_spans(open_payload(raw)),
    lambda raw: decode_logs(open_payload(raw)),
    lambda raw: decode_metrics(open_payload(raw)),
    decode_stubs,
    ServicePartial.decode,
    Progress.decode,
]
LEADS = st.sampled_from([b"", b"{", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\x0a", b" {", b"\xef\xbb\xbf"])


@given(LEADS, st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_random_bytes_raise_nothing_but_bad_payload(lead: bytes, tail: bytes) -> None:
    """With and without the magic bytes that open a door."""
    for enter in DOORS:
        with suppress(BadPayload):
            enter(lead + tail)


@given(telemetry(traces_up_to=2), st.data())
@settings(max_examples=80, deadline=None)
def test_a_damaged_request_raises_nothing_but_bad_payload(arrivals: list[Arrival], data: st.DataObject) -> None:
    """Some bytes changed, cut off, or put twice."""
    payload = bytearray(traces_payload([arrival.span for arrival in arrivals]))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(payload)))
    for enter in DOORS:
        for damaged in (bytes(payload), bytes(payload[:end]), bytes(payload[:end] + payload)):
            with suppress(BadPayload):
                enter(damaged)


@given(telemetry())
@settings(max_examples=50, deadline=None)
def test_the_slim_reading_agrees_with_the_full_schema(arrivals: list[Arrival]) -> None:
    """Field by field, span by span."""
    payload = traces_payload([arrival.span for arrival in arrivals])
    columns = decode_spans(payload)
    full = [
        (resource.resource.attributes[0].value.string_value, span)
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    names = np.array(columns.names, dtype=object)
    assert names[columns.service].tolist() == [service for service, _ in full]
    assert names[columns.operation].tolist() == [span.name for _, span in full]
    assert columns.start_ns.tolist() == [span.start_time_unix_nano for _, span in full]
    assert columns.end_ns.tolist() == [span.end_time_unix_nano for _, span in full]
    assert columns.kind.tolist() == [span.kind for _, span in full]
    assert columns.error.tolist() == [span.status.code == 2 for _, span in full]
    assert columns.span_id.tolist() == [int.from_bytes(span.span_id, "big") for _, span in full]
    assert columns.parent_id.tolist() == [int.from_bytes(span.parent_span_id, "big") for _, span in full]
