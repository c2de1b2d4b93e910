"""Traces and their logs over HTTP, from OTLP as it was landed."""

from __future__ import annotations

import os
import time

from api_caller import Caller
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sinks.clickhouse.landing import RawRow, RawSink


def trace_of(trace_id: bytes, parents: list[int | None]) -> ExportTraceServiceRequest:
    """Make a trace of spans numbered from 1, each with the number of its parent."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "checkout"
    scope = resource.scope_spans.add()
    start_ns = time.time_ns()
    for number, parent in enumerate(parents, start=1):
        span = scope.spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8),
            parent_span_id=b"" if parent is None else parent.to_bytes(8),
            name=f"span {number}",
            start_time_unix_nano=start_ns + number,
            end_time_unix_nano=start_ns + 1000,
        )
        span.attributes.add(key="ratio").value.double_value = float("nan")
        span.attributes.add(key="retries").value.int_value = 2**53 + 1
    return request


async def land(caller: Caller, topic: str, request: ExportTraceServiceRequest | ExportLogsServiceRequest) -> None:
    """Store a request as the worker does."""
    offset = int.from_bytes(os.urandom(4))
    row = RawRow(
        tenant=caller.tenant, partition=0, offset=offset, arrival_ns=time.time_ns(), value=request.SerializeToString()
    )
    await RawSink(caller.stores.clickhouse).insert(topic, [row])


async def test_a_trace_comes_in_drawing_order_with_typed_attributes(acme: Caller, other: Caller) -> None:
    """Ids in any case; another tenant's trace is not there."""
    trace_id = os.urandom(16)
    await land(acme, "otel.traces", trace_of(trace_id, [None, 1, 2, 1]))
    found = (await acme.get(f"/traces/{trace_id.hex().upper()}")).json()
    assert [(span["name"], span["depth"]) for span in found["spans"]] == [
        ("span 1", 0),
        ("span 2", 1),
        ("span 3", 2),
        ("span 4", 1),
    ]
    assert found["spans"][0]["attributes"]["ratio"] == "NaN"
    assert found["spans"][0]["attributes"]["retries"] == 2**53 + 1
    assert (found["services"], found["truncated"]) == (["checkout"], False)
    assert (await other.get(f"/traces/{trace_id.hex()}")).status_code == 404
    assert (await acme.get(f"/traces/{os.urandom(16).hex()}")).status_code == 404


async def test_cycles_and_missing_parents_are_answered_and_marked(acme: Caller) -> None:
    """BAD_INPUT 16, through the whole store."""
    trace_id = os.urandom(16)
    await land(acme, "otel.traces", trace_of(trace_id, [2, 1, 3, 99]))
    spans = (await acme.get(f"/traces/{trace_id.hex()}")).json()["spans"]
    assert sorted((span["name"], span["parent_missing"], span["parent_cycle"]) for span in spans) == [
        ("span 1", False, True),
        ("span 2", False, False),
        ("span 3", False, True),
        ("span 4", True, False),
    ]


async def test_a_long_trace_is_cut_and_says_so(acme: Caller) -> None:
    """The earliest spans stay."""
    trace_id = os.urandom(16)
    await land(acme, "otel.traces", trace_of(trace_id, [None, 1, 1]))
    found = (await acme.get(f"/traces/{trace_id.hex()}", limit=2)).json()
    assert ([span["name"] for span in found["spans"]], found["truncated"]) == (["span 1", "span 2"], True)


async def test_the_logs_of_a_trace_come_oldest_first(acme: Caller, other: Caller) -> None:
    """None is an empty list; another tenant sees none."""
    trace_id = os.urandom(16)
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in (2, 1, 3):
        record = scope.log_records.add(time_unix_nano=time.time_ns() + number * 1_000_000, severity_number=17)
        record.trace_id = trace_id
        record.body.string_value = f"line {number}"
    await land(acme, "otel.logs", request)
    found = (await acme.get(f"/traces/{trace_id.hex()}/logs", limit=2)).json()
    assert ([line["body"] for line in found["items"]], found["truncated"]) == (["line 1", "line 2"], True)
    assert found["items"][0]["severity"] == "error"
    assert (await other.get(f"/traces/{trace_id.hex()}/logs")).json()["items"] == []
