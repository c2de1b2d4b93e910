"""OTLP/HTTP against a real broker: what is answered 200 is on the topic, whole, under the key's tenant."""

from __future__ import annotations

import gzip
import json
import os

import httpx
import pytest
from api_caller import Caller, records_of
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from api.otlp import described
from api.otlp.signals import LOGS_SIGNAL, METRICS_SIGNAL, TRACES_SIGNAL

PROTOBUF = "application/x-protobuf"


def some_spans(count: int = 1, *, trace_id: bytes | None = None, padding: int = 0) -> ExportTraceServiceRequest:
    """Make a request with ``count`` spans."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(count):
        given_id = os.urandom(16) if trace_id is None else trace_id
        scope.spans.add(trace_id=given_id, span_id=os.urandom(8), name="GET /" + os.urandom(padding // 2).hex())
    return request


async def post(
    caller: Caller, signal: str, content: bytes, media_type: str = PROTOBUF, **headers: str
) -> httpx.Response:
    """Post an OTLP body."""
    return await caller.http.post(f"/v1/{signal}", content=content, headers={"Content-Type": media_type} | headers)


async def test_all_three_signals_arrive_on_their_topics_as_they_were_sent(acme: Caller) -> None:
    """The answer is the empty response message."""
    traces = some_spans(3)
    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    for signal, request, answer in [
        ("traces", traces, ExportTraceServiceResponse()),
        ("metrics", metrics, ExportMetricsServiceResponse()),
        ("logs", logs, ExportLogsServiceResponse()),
    ]:
        response = await post(acme, signal, request.SerializeToString())
        assert (response.status_code, response.headers["content-type"]) == (200, PROTOBUF)
        assert response.content == answer.SerializeToString()
        (record,) = await records_of(acme, f"otel.{signal}")
        assert record.value == request.SerializeToString()
        assert record.headers == (("x-tenant-id", acme.tenant.encode()),)


async def test_gzip_and_json_become_plain_protobuf_on_the_topic(acme: Caller) -> None:
    """Readers of the topic need one format."""
    for signal in (TRACES_SIGNAL, METRICS_SIGNAL, LOGS_SIGNAL):
        document = json.dumps(described.request_body(signal)["content"]["application/json"]["example"]).encode()
        response = await post(
            acme,
            signal.name,
            gzip.compress(document),
            "application/json; charset=utf-8",
            **{"Content-Encoding": "gzip"},
        )
        assert (response.status_code, response.json()) == (200, {})
        (record,) = await records_of(acme, signal.topic.name)
        assert b"checkout" in (record.value or b"")
        signal.strict.FromString(record.value or b"")


async def test_items_that_are_refused_are_counted_in_a_partial_success_and_forwarded_for_the_record(
    acme: Caller,
) -> None:
    """In both encodings."""
    request = some_spans(2, trace_id=b"short")
    request.MergeFrom(some_spans(3))
    response = await post(acme, "traces", request.SerializeToString())
    assert response.status_code == 200
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (partial.rejected_spans, "2 of 5" in partial.error_message) == (2, True)
    (record,) = await records_of(acme, "otel.traces")
    assert record.value == request.SerializeToString()

    document = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}
    response = await post(acme, "traces", json.dumps(document).encode(), "application/json")
    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"


async def test_a_large_request_arrives_in_several_records_with_every_span(acme: Caller) -> None:
    """3 MB as sent are cut to records that every broker takes."""
    request = some_spans(3000, padding=1000)
    assert (await post(acme, "traces", request.SerializeToString())).status_code == 200
    records = await records_of(acme, "otel.traces")
    arrived = [ExportTraceServiceRequest.FromString(record.value or b"") for record in records]
    spans = [span for one in arrived for span in one.resource_spans[0].scope_spans[0].spans]
    assert len(records) > 2
    assert sorted(span.span_id for span in spans) == sorted(
        span.span_id for span in request.resource_spans[0].scope_spans[0].spans
    )


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {"Content-Type": "text/plain"}, 415),
        (b"", {"Content-Encoding": "br"}, 415),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (b"\xff\xff", {}, 400),
        (b"{", {"Content-Type": "application/json"}, 400),
        (gzip.compress(bytes(30_000_000)), {"Content-Encoding": "gzip"}, 413),
        (b"x" * 4_194_305, {}, 413),
        (b"", {"Authorization": "Bearer nonsense"}, 401),
        (b"", {"x-tenant-id": "somebody-else"}, 403),
        (b"", {}, 200),
    ],
    ids=["type", "encoding", "gzip", "protobuf", "json", "bomb", "size", "key", "tenant", "empty"],
)
async def test_what_is_wrong_is_answered_in_status_codes_and_nothing_is_produced(
    acme: Caller, content: bytes, headers: dict[str, str], status: int
) -> None:
    """BAD_INPUT 3, 4, 5, 6, 7, 24."""
    response = await acme.http.post("/v1/traces", content=content, headers={"Content-Type": PROTOBUF} | headers)
    assert response.status_code == status
    assert await records_of(acme, "otel.traces") == []


async def test_the_tenant_is_the_keys_whatever_the_payload_says(acme: Caller, other: Caller) -> None:
    """BAD_INPUT 24: a tenant in the payload is an attribute like any other."""
    request = some_spans(1)
    attribute = request.resource_spans[0].resource.attributes.add(key="x-tenant-id")
    attribute.value.string_value = other.tenant
    assert (await post(acme, "traces", request.SerializeToString())).status_code == 200
    assert len(await records_of(acme, "otel.traces")) == 1
    assert await records_of(other, "otel.traces") == []
