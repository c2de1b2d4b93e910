"""Decoding: every item is checked, a bad one costs only itself, and the wrong signal is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from decoder_runs import walk_spans
from made_spans import CLIENT, CONSUMER, INTERNAL, SERVER, START_NS, MadeSpan, traces_payload
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from schemas.errors import BadPayload, RejectReason
from schemas.keys import UNKNOWN_SERVICE
from streams.otlp import PeerKind, SpanColumns, SpanFlag, decode_logs, decode_metrics, decode_spans

Decode = Callable[[bytes], SpanColumns]


@pytest.fixture(params=[decode_spans, walk_spans], ids=["reference", "walker"])
def decode(request: pytest.FixtureRequest) -> Decode:
    """Give the reference decoder, then the compiled one."""
    found: Decode = request.param
    return found


def made(**changes: Any) -> MadeSpan:
    """Return a span with some fields changed."""
    fields: dict[str, Any] = {
        "service": "cart", "name": "GET /", "kind": SERVER, "trace": 7, "span": 1, "parent": 0,
        "start_ns": START_NS, "end_ns": START_NS + 5, **changes,
    }  # fmt: skip
    return MadeSpan(**fields)


def request_of(**fields: Any) -> Any:
    """Return a request with one sound span and one whose fields are set as given."""
    request = ExportTraceServiceRequest.FromString(traces_payload([made(), made(span=2)]))
    span = request.resource_spans[0].scope_spans[0].spans[1]
    for name, value in fields.items():
        setattr(span, name, value)
    return request


def logs_request(**fields: Any) -> ExportLogsServiceRequest:
    """Return a request with one log record."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "cart"
    record = resource.scope_logs.add().log_records.add()
    record.body.string_value = "hello"
    record.time_unix_nano = START_NS
    for field, value in fields.items():
        setattr(record, field, value)
    return request


def metrics_request() -> ExportMetricsServiceRequest:
    """Return a request with a gauge of two points and a histogram of one."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    gauge = metrics.add(name="memory")
    for value in (1.0, 2.0):
        gauge.gauge.data_points.add(as_double=value, time_unix_nano=START_NS)
    latency = metrics.add(name="latency").histogram
    latency.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    latency.data_points.add(count=1, time_unix_nano=START_NS)
    return request


def test_spans_become_columns_in_wire_order(decode: Decode) -> None:
    """Names are interned, ids are numbers, status ERROR is error."""
    columns = decode(
        traces_payload([made(), made(span=2, parent=1, kind=INTERNAL, error=True), made(service="pay", span=3)])
    )
    assert len(columns) == 3
    assert [columns.names[s] for s in columns.service] == ["cart", "cart", "pay"]
    assert columns.span_id.tolist() == [1, 2, 3]
    assert columns.parent_id.tolist() == [0, 1, 0]
    assert columns.trace_lo.tolist() == [7, 7, 7]
    assert columns.kind.tolist() == [2, 1, 2]
    assert columns.error.tolist() == [False, True, False]
    assert (columns.end_ns - columns.start_ns).tolist() == [5, 5, 5]
    assert columns.rejects == []


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": b""}, {"trace_id": b"short"}, {"trace_id": bytes(16)}, {"trace_id": b"x" * 17},
        {"span_id": b""}, {"span_id": bytes(8)}, {"span_id": b"x" * 9}, {"parent_span_id": b"abc"},
    ],
)  # fmt: skip
def test_a_bad_id_costs_only_its_item(decode: Decode, fields: dict[str, bytes]) -> None:
    """The neighbour stays; the reject says which item and why."""
    columns = decode(request_of(**fields).SerializeToString())
    assert columns.span_id.tolist() == [1]
    assert [(r.item, r.reason) for r in columns.rejects] == [(1, RejectReason.BAD_ID)]


def test_a_parent_of_zeros_is_no_parent(decode: Decode) -> None:
    """Some exporters write eight zero bytes for a root."""
    assert decode(request_of(parent_span_id=bytes(8)).SerializeToString()).parent_id.tolist() == [0, 0]


@pytest.mark.parametrize("instant", [0, 2**63, 2**64 - 1])
def test_times_beyond_reason_are_clamped_and_flagged(decode: Decode, instant: int) -> None:
    """Kept, for the raw store; the windows leave it out."""
    columns = decode(request_of(end_time_unix_nano=instant).SerializeToString())
    assert columns.flags[1] & SpanFlag.CLAMPED
    assert not columns.flags[0]


def test_a_span_that_ends_before_it_starts_is_flagged(decode: Decode) -> None:
    """It counts as a request, without a duration."""
    columns = decode(request_of(end_time_unix_nano=START_NS - 9).SerializeToString())
    assert columns.flags.tolist() == [0, SpanFlag.NEGATIVE]


def test_an_unknown_kind_is_unspecified_and_flagged(decode: Decode) -> None:
    """Enums are open in proto3."""
    columns = decode(request_of(kind=99).SerializeToString())
    assert columns.kind.tolist() == [2, 0]
    assert columns.flags.tolist() == [0, SpanFlag.UNKNOWN_KIND]


def test_a_missing_service_name_is_unknown_service(decode: Decode) -> None:
    """As OpenTelemetry's resource conventions have it."""
    request = request_of()
    del request.resource_spans[0].resource.attributes[:]
    columns = decode(request.SerializeToString())
    assert columns.names[columns.service[0]] == UNKNOWN_SERVICE


def test_invalid_utf8_in_a_name_is_repaired_and_counted(decode: Decode) -> None:
    """Only that string; the request is not lost."""
    payload = traces_payload([made(name="abcd"), made(span=2)]).replace(b"abcd", b"a\xff\xfed")
    columns = decode(payload)
    assert columns.names[columns.operation[0]] == "a��d"
    assert columns.repaired == 1
    assert len(columns) == 2


def test_a_name_that_is_too_long_is_cut_and_counted(decode: Decode) -> None:
    """256 characters are enough for a name."""
    columns = decode(traces_payload([made(name="x" * 1000)]))
    assert columns.names[columns.operation[0]] == "x" * 256
    assert columns.truncated == 1


def test_values_nested_ten_thousand_deep_hurt_nobody(decode: Decode) -> None:
    """Attribute values are not parsed, unless they name a peer."""
    value = b"\x0a\x01x"
    for _ in range(10_000):
        array = b"\x0a" + _length(value)
        value = b"\x2a" + _length(array)
    attribute = b"\x0a\x04deep\x12" + _length(value)
    span = traces_payload([made(kind=CLIENT)])
    request = ExportTraceServiceRequest.FromString(span).resource_spans[0]
    body = request.scope_spans[0].spans[0].SerializeToString() + b"\x4a" + _length(attribute)
    scope = b"\x12" + _length(b"\x12" + _length(body))
    payload = b"\x0a" + _length(b"\x0a" + _length(request.resource.SerializeToString()) + scope)
    assert len(decode(payload)) == 1


def _length(body: bytes) -> bytes:
    """Return a length-delimited protobuf value."""
    size, prefix = len(body), bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*prefix, size]) + body


@pytest.mark.parametrize(
    ("attributes", "kind", "name"),
    [
        ({"db.system.name": "postgresql", "db.namespace": "shop"}, PeerKind.DATABASE, "postgresql:shop"),
        ({"db.system": "mysql", "server.address": "db1", "server.port": "3306"}, PeerKind.DATABASE, "mysql:db1:3306"),
        ({"db.system": "redis"}, PeerKind.DATABASE, "redis"),
        ({"messaging.system": "kafka", "messaging.destination.name": "orders"}, PeerKind.MESSAGING, "kafka:orders"),
        ({"peer.service": "bank", "server.address": "10.0.0.1"}, PeerKind.EXTERNAL, "bank"),
        ({"server.address": "bank", "server.port": "8443"}, PeerKind.EXTERNAL, "bank:8443"),
        ({"server.address": "bank", "server.port": "443"}, PeerKind.EXTERNAL, "bank"),
        ({"url.full": "https://user:secret@bank.example/pay?card=1"}, PeerKind.EXTERNAL, "bank.example"),
        ({"http.url": "http://["}, PeerKind.NONE, ""),
        ({"http.url": "HTTP://Bank.Example:8443#top"}, PeerKind.EXTERNAL, "bank.example:8443"),
        ({"url.full": "http://[::1]:8080/"}, PeerKind.EXTERNAL, "::1:8080"),
        ({"url.full": " https://bücher.example/a"}, PeerKind.EXTERNAL, "bücher.example"),
        (
            {"db.system": "elasticsearch", "url.full": "http://es:9200/_search"},
            PeerKind.DATABASE,
            "elasticsearch:es:9200",
        ),
        ({"db.system": "elasticsearch", "url.full": "/_search"}, PeerKind.DATABASE, "elasticsearch"),
        ({"http.method": "GET"}, PeerKind.NONE, ""),
    ],
)
def test_the_other_side_of_a_client_span_is_named(
    decode: Decode, attributes: dict[str, str], kind: PeerKind, name: str
) -> None:
    """By semantic conventions old and new; never with credentials or paths of a URL."""
    columns = decode(traces_payload([made(kind=CLIENT, peer=tuple(attributes.items()))]))
    assert columns.peer_kind[0] == kind
    assert (columns.names[columns.peer[0]] if columns.peer[0] >= 0 else "") == name


def test_a_server_span_has_no_peer(decode: Decode) -> None:
    """Its attributes are not even looked at."""
    peer = (("db.system", "mysql"),)
    assert decode(traces_payload([made(peer=peer), made(span=2, kind=CONSUMER, peer=peer)])).peer[0] == -1


def test_more_items_than_the_cap_are_refused_as_a_whole(decode: Decode) -> None:
    """50,000 items; 1,000 resources that have any."""
    for payload in (
        traces_payload([made()]) * 1001,
        traces_payload([made()] * 50_001),
    ):
        with pytest.raises(BadPayload) as caught:
            decode(payload)
        assert caught.value.reason is RejectReason.TOO_MANY_ITEMS


def test_two_hundred_thousand_empty_resources_are_nothing(decode: Decode) -> None:
    """400 kB of them: accepted, 0 items."""
    assert len(decode(b"\x0a\x00" * 200_000)) == 0


def test_concatenated_requests_are_one_request(decode: Decode) -> None:
    """What protobuf promises, and batching relies on."""
    assert len(decode(traces_payload([made()]) + traces_payload([made(span=2)]))) == 2


def test_logs_are_counted_by_severity_number_else_by_text() -> None:
    """Numbers by range; the usual words; anything else is unspecified."""
    cases = [
        ({"severity_number": 9}, 3), ({"severity_number": 17}, 5), ({"severity_number": 24}, 6),
        ({"severity_text": "error"}, 5), ({"severity_text": "WARN"}, 4), ({"severity_text": "huh"}, 0),
        ({"severity_number": 300}, 0), ({}, 0),
    ]  # fmt: skip
    for fields, severity in cases:
        assert decode_logs(logs_request(**fields).SerializeToString()).severity.tolist() == [severity]


def test_a_log_without_time_takes_its_observed_time() -> None:
    """As the log data model says."""
    payload = logs_request(time_unix_nano=0, observed_time_unix_nano=START_NS + 1).SerializeToString()
    assert decode_logs(payload).time_ns.tolist() == [START_NS + 1]


def test_a_log_may_have_no_trace_but_not_half_of_one() -> None:
    """16 bytes or none."""
    assert len(decode_logs(logs_request(trace_id=b"").SerializeToString())) == 1
    columns = decode_logs(logs_request(trace_id=b"x" * 9).SerializeToString())
    assert [r.reason for r in columns.rejects] == [RejectReason.BAD_ID]


def test_metric_points_are_counted_by_type() -> None:
    """Two gauge points and a histogram point."""
    counts = decode_metrics(metrics_request().SerializeToString())
    assert (counts.metrics, len(counts)) == (2, 3)
    assert {kind: count for kind, count in counts.points.items() if count} == {"gauge": 2, "histogram": 1}


@pytest.mark.parametrize("trace_id", [b"", b"t" * 16])
def test_every_wrong_signal_is_told(trace_id: bytes) -> None:
    """Six pairs of topic and payload."""
    payloads = {
        decode_spans: traces_payload([made(), made(kind=CLIENT, span=2, peer=(("a", "b"),))]),
        decode_logs: logs_request(trace_id=trace_id, severity_number=9).SerializeToString(),
        decode_metrics: metrics_request().SerializeToString(),
    }
    for decode in payloads:
        for own, payload in payloads.items():
            if own is not decode:
                with pytest.raises(BadPayload) as caught:
                    decode(payload)
                assert caught.value.reason is RejectReason.WRONG_SIGNAL, (decode, own)
