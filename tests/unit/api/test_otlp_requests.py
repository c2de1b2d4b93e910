"""OTLP bodies: what is read, what is refused, what is counted, and that cutting loses nothing."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import zlib
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.otlp.answers import JSON, PROTOBUF
from api.otlp.judging import judged
from api.otlp.pieces import PIECE_BYTES, PIECE_ITEMS, PIECE_RESOURCES, PIECES_BYTES, is_small, pieces_of
from api.otlp.signals import LOGS_SIGNAL, METRICS_SIGNAL, TRACES_SIGNAL, Signal
from api.otlp.unpacking import UNPACKED_LIMIT_BYTES, media_type_taken, parsed, unpacked
from api.problems import Problem


def spans(
    count: int = 1, *, resources: int = 1, padding: int = 0, trace_id: bytes | None = None
) -> ExportTraceServiceRequest:
    """Make a request with ``count`` spans for each resource."""
    request = ExportTraceServiceRequest()
    for number in range(resources):
        resource = request.resource_spans.add(schema_url="https://example.com/resource")
        attribute = resource.resource.attributes.add(key="service.name")
        attribute.value.string_value = f"service-{number}"
        scope = resource.scope_spans.add()
        scope.scope.name = "library"
        for _ in range(count):
            given_id = os.urandom(16) if trace_id is None else trace_id
            scope.spans.add(trace_id=given_id, span_id=os.urandom(8), name="GET /" + "x" * padding)
    return request


def status_of(refused: pytest.ExceptionInfo[Problem]) -> int:
    """Return the status code of a refusal."""
    return refused.value.slug.status


def all_spans(requests: list[ExportTraceServiceRequest]) -> list[tuple[bytes, bytes, bytes]]:
    """Return every span with its resource and scope, in order."""
    return [
        (resource.resource.SerializeToString(), scope.scope.SerializeToString(), span.SerializeToString())
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def as_otlp_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """Return the request as OTLP JSON, span ids in upper case."""
    document: dict[str, Any] = MessageToDict(request)
    for resource, out in zip(request.resource_spans, document["resourceSpans"], strict=True):
        for scope, scope_out in zip(resource.scope_spans, out["scopeSpans"], strict=True):
            for span, span_out in zip(scope.spans, scope_out["spans"], strict=True):
                span_out |= {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex().upper()}
    return document


def test_otlp_json_has_hex_ids_and_means_the_same_as_protobuf() -> None:
    """In both cases of hex digits."""
    request = spans(3, resources=2)
    assert parsed(json.dumps(as_otlp_json(request)).encode(), JSON, TRACES_SIGNAL) == request


def test_an_id_that_is_not_hex_costs_its_span_and_not_the_request() -> None:
    """It is counted as refused."""
    document = as_otlp_json(spans(3))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["traceId"] = "not hex"
    verdict = judged(parsed(json.dumps(document).encode(), JSON, TRACES_SIGNAL), TRACES_SIGNAL)
    assert (verdict.items, verdict.rejected) == (3, 1)


@pytest.mark.parametrize(
    "trace_id",
    [b"", b"short", bytes(16), b"x" * 15, b"x" * 17, b"x" * 32],
    ids=["empty", "5", "zeros", "15", "17", "32"],
)
def test_spans_without_a_trace_id_are_counted_as_refused(trace_id: bytes) -> None:
    """BAD_INPUT: ids empty, short, long, all zero."""
    request = spans(2, trace_id=trace_id)
    request.resource_spans[0].scope_spans[0].spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    verdict = judged(request, TRACES_SIGNAL)
    assert (verdict.items, verdict.rejected) == (3, 2)
    assert "2 of 3" in verdict.why


def test_metrics_are_counted_by_data_point() -> None:
    """As OTLP's partial success counts them."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for _ in range(5):
        metric.sum.data_points.add(as_int=1)
    request.resource_metrics[0].scope_metrics[0].metrics.add(name="without data")
    assert judged(request, METRICS_SIGNAL).items == 5


def test_one_byte_that_is_not_utf_8_does_not_lose_the_request() -> None:
    """The decoder behind the topic repairs that one string; here the bytes pass as they are."""
    body = spans(1).SerializeToString().replace(b"GET /", b"GET\xff\xfe")
    with pytest.raises(Exception, match="UTF-8"):
        ExportTraceServiceRequest.FromString(body)
    assert parsed(body, PROTOBUF, TRACES_SIGNAL).SerializeToString() == body


@pytest.mark.parametrize("body", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x08", b"{}"])
def test_bytes_that_are_no_protobuf_are_refused(body: bytes) -> None:
    """With a 400 that quotes nothing of them."""
    with pytest.raises(Problem) as refused:
        parsed(body, PROTOBUF, TRACES_SIGNAL)
    assert status_of(refused) == 400
    assert refused.value.detail == "The body is not a protobuf ExportTraceServiceRequest."


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"1",
        b"\xff",
        b"[" * 10_000,
        b'{"resourceSpans":' * 10_000,
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [1]}',
        b'{"resourceSpans": [{"scopeSpans": {"spans": 1}}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": {}}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "x"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1e400}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [null]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": ' + b"9" * 5000 + b"}]}]}]}",
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": 1e400}]}]}]}',
        b'{"\\ud800": 1}',
        b'{"resourceSpans": [{"resource": {"attributes": [{"value": {"doubleValue": ' + b"9" * 400 + b"}}]}}]}",
    ],
)
def test_json_of_another_shape_is_refused(body: bytes) -> None:
    """Whatever Python error the parser meets, it is the client's mistake."""
    with pytest.raises(Problem) as refused:
        parsed(body, JSON, TRACES_SIGNAL)
    assert status_of(refused) == 400


def test_a_list_of_many_numbers_unfolds_to_little_more_than_itself() -> None:
    """A number may be two bytes of the body, and no object or list that is counted before."""
    body = b'{"unknownField": [' + b"1," * 500_000 + b"1]}"
    tracemalloc.start()
    parsed(body, JSON, TRACES_SIGNAL)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10 * len(body)


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"resourceSpans": []}', b'{"unknownField": {"a": [1]}}'])
def test_an_empty_request_is_taken(body: bytes) -> None:
    """Unknown fields are ignored, as OTLP demands of receivers."""
    assert judged(parsed(body, JSON, TRACES_SIGNAL), TRACES_SIGNAL).items == 0


@pytest.mark.parametrize("body", [b'{"resourceLogs": []}', b'{"resource_metrics": [{}], "unknownField": 1}'])
def test_json_of_another_signal_is_refused(body: bytes) -> None:
    """All that it holds would be passed over as unknown, and the sender would never learn."""
    with pytest.raises(Problem) as refused:
        parsed(body, JSON, TRACES_SIGNAL)
    assert status_of(refused) == 400
    assert "not of traces" in str(refused.value.detail)


def test_half_a_surrogate_pair_in_json_is_repaired() -> None:
    """JSON can spell text that is not Unicode; only that character is lost."""
    body = rb'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a\ud800b \ud83d\ude00 \\ud800"}]}]}]}'
    request = parsed(body, JSON, TRACES_SIGNAL)
    assert isinstance(request, ExportTraceServiceRequest)
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "a\ufffdb \U0001f600 \\ud800"


def request_or_status(body: bytes, media_type: str, signal: Signal) -> Message | int:
    """Parse a body, or return the status code of its refusal."""
    try:
        return parsed(body, media_type, signal)
    except Problem as problem:
        return problem.slug.status


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "traceId", "resource", "attributes", "value", "kind"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values)
@example({"resourceSpans": {"a": 1}})
def test_no_json_breaks_the_parser(value: object) -> None:
    """A request or a 400."""
    found = request_or_status(json.dumps(value).encode(), JSON, TRACES_SIGNAL)
    assert found == 400 or not isinstance(found, int)


@given(st.data())
@settings(max_examples=300)
def test_no_bit_flip_breaks_the_way_to_the_records(data: st.DataObject) -> None:
    """Flipped protobuf is refused, or judged and cut."""
    body = bytearray(spans(3, resources=2).SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for signal in (TRACES_SIGNAL, METRICS_SIGNAL, LOGS_SIGNAL):
        request = request_or_status(bytes(body), PROTOBUF, signal)
        if isinstance(request, int):
            assert request == 400
            continue
        items = judged(request, signal).items
        records = pieces_of(request, signal)
        assert sum(judged(signal.lenient.FromString(record), signal).items for record in records) == items


def test_gzip_is_undone_also_in_several_members() -> None:
    """RFC 1952 allows members one after the other."""
    assert unpacked(gzip.compress(b"one ") + gzip.compress(b"two"), b"GZip") == b"one two"
    assert unpacked(b"plain", b"") == unpacked(b"plain", b"identity") == b"plain"


@pytest.mark.parametrize(
    "body",
    [b"plain", gzip.compress(b"x" * 100)[:-5], gzip.compress(b"x") + b"tail", zlib.compress(b"x")],
    ids=["plain", "cut off", "with a tail", "zlib"],
)
def test_a_body_that_is_not_the_gzip_it_claims_is_refused(body: bytes) -> None:
    """Truncated, trailed by something else, or another format."""
    with pytest.raises(Problem) as refused:
        unpacked(body, b"gzip")
    assert status_of(refused) == 400


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"deflate", b"gzip, gzip", b"\xff"])
def test_another_encoding_is_refused_with_what_would_be_taken(encoding: bytes) -> None:
    """RFC 9110: 415 may carry Accept-Encoding."""
    with pytest.raises(Problem) as refused:
        unpacked(b"", encoding)
    assert (status_of(refused), refused.value.headers) == (415, {"Accept-Encoding": "gzip"})


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"application/x-protobuf2", b"\xff", b"application/grpc"])
def test_another_content_type_is_refused(content_type: bytes) -> None:
    """OTLP/HTTP has two."""
    with pytest.raises(Problem) as refused:
        media_type_taken(content_type)
    assert status_of(refused) == 415


def test_a_content_type_may_carry_parameters() -> None:
    """And any case."""
    assert media_type_taken(b"Application/JSON; charset=utf-8") == JSON


@pytest.mark.parametrize("times", [1, 200], ids=["one member", "200 members"])
def test_a_decompression_bomb_stops_at_the_bound_with_flat_memory(times: int) -> None:
    """BAD_INPUT 4, 5: 100 kB that unfold to 100 MiB."""
    bomb = gzip.compress(bytes(100 * 1024 * 1024 // times)) * times
    tracemalloc.start()
    with pytest.raises(Problem) as refused:
        unpacked(bomb, b"gzip")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status_of(refused) == 413
    assert peak_bytes < 2.5 * UNPACKED_LIMIT_BYTES


def test_a_large_request_is_cut_between_items_and_nothing_is_lost() -> None:
    """Every span keeps its resource and scope; every record keeps its bounds."""
    request = spans(40, resources=PIECE_RESOURCES + 50, padding=100)
    before = all_spans([request])
    lenient = TRACES_SIGNAL.lenient.FromString(request.SerializeToString())
    records = pieces_of(lenient, TRACES_SIGNAL)
    cut = [ExportTraceServiceRequest.FromString(record) for record in records]
    assert len(records) > 3
    assert all(len(record) <= PIECE_BYTES for record in records)
    assert all(len(piece.resource_spans) <= PIECE_RESOURCES for piece in cut)
    assert all_spans(cut) == before


def test_a_request_of_many_small_items_is_cut_too() -> None:
    """Workers take a bounded number of items a record."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for _ in range(PIECE_ITEMS + 1):
        scope.log_records.add(severity_number=9)
    assert not is_small(request, request.ByteSize(), PIECE_ITEMS + 1, LOGS_SIGNAL)
    records = [ExportLogsServiceRequest.FromString(record) for record in pieces_of(request, LOGS_SIGNAL)]
    assert [len(one.resource_logs[0].scope_logs[0].log_records) for one in records] == [PIECE_ITEMS, 1]


def test_resources_without_items_make_no_records() -> None:
    """BAD_INPUT 7: 200,000 empty ResourceSpans in 400 kB are accepted, 0 items."""
    request = parsed(b"\x0a\x00" * 200_000, PROTOBUF, TRACES_SIGNAL)
    assert judged(request, TRACES_SIGNAL).items == 0
    assert pieces_of(request, TRACES_SIGNAL) == []


def test_an_item_larger_than_a_record_is_refused() -> None:
    """It could never be sent, so the client is told for good."""
    request = spans(1, padding=5_000_000)
    with pytest.raises(Problem) as refused:
        pieces_of(request, TRACES_SIGNAL)
    assert status_of(refused) == 413


def test_a_request_whose_pieces_would_repeat_too_much_is_refused() -> None:
    """BAD_INPUT 7: beside a resource of nearly a megabyte each of 400,000 empty spans would be a record of its own."""
    request = spans(1)
    (resource,) = request.resource_spans
    resource.resource.attributes.add(key="note").value.string_value = "x" * PIECE_BYTES
    for _ in range(PIECES_BYTES // PIECE_BYTES + 1):
        resource.scope_spans[0].spans.add()
    with pytest.raises(Problem) as refused:
        pieces_of(request, TRACES_SIGNAL)
    assert status_of(refused) == 413
