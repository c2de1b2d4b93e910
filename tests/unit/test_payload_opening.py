"""Opening a payload: compressed, JSON, hostile; only BadPayload comes out."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import Any

import pytest
import zstandard
from made_spans import CLIENT, SERVER, START_NS, MadeSpan, traces_payload

from schemas.errors import BadPayload, RejectReason
from streams.otlp import Signal, decode_logs, decode_metrics, decode_spans, open_payload

SPANS = [
    MadeSpan("cart", "GET /", SERVER, 7, 1, 0, START_NS, START_NS + 5, error=True),
    MadeSpan("cart", "SELECT", CLIENT, 7, 2, 1, START_NS, START_NS + 3),
]
PROTOBUF = traces_payload(SPANS)
ANY = Signal.TRACES


def as_json(**changes: Any) -> bytes:
    """Return one span as OTLP JSON, with some fields changed."""
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "status": {"code": 2},
        "unheardOf": [1, 2],
        **changes,
    }
    name = {"key": "service.name", "value": {"stringValue": "cart"}}
    scopes = [{"scope": {"name": "x"}, "spans": [span]}]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": [name]}, "scopeSpans": scopes}]}).encode()


def reason(raw: bytes | None, signal: Signal | None = None) -> RejectReason:
    """Return why a payload is refused."""
    with pytest.raises(BadPayload) as caught:
        open_payload(raw, signal)
    return caught.value.reason


def test_protobuf_is_returned_as_it_is() -> None:
    """No copy, no look inside."""
    assert open_payload(PROTOBUF) is PROTOBUF
    assert open_payload(b"") == b""


@pytest.mark.parametrize("blanks", [b"\n", b" \r\n\t", b"\n" * 100])
def test_json_may_begin_and_end_with_blanks(blanks: bytes) -> None:
    """However many: the first of them is what protobuf begins with."""
    assert open_payload(blanks + as_json() + blanks, ANY) == open_payload(as_json(), ANY)


def test_no_value_is_null_value() -> None:
    """A Kafka tombstone is no telemetry."""
    assert reason(None) is RejectReason.NULL_VALUE


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_payloads_are_unpacked(pack: Any) -> None:
    """Also when JSON is inside."""
    assert open_payload(pack(PROTOBUF)) == PROTOBUF
    assert len(decode_spans(open_payload(pack(as_json())))) == 1


def test_zstd_of_several_frames_is_one_payload() -> None:
    """RFC 8878 allows it, with and without a content size in the frame."""
    whole = zstandard.ZstdCompressor().compress(PROTOBUF)
    streamed = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    assert open_payload(whole + streamed.compress(PROTOBUF) + streamed.flush()) == PROTOBUF * 2


def test_gzip_of_several_members_is_one_payload() -> None:
    """RFC 1952 allows it, and concatenated requests are one request."""
    assert open_payload(gzip.compress(PROTOBUF) + gzip.compress(PROTOBUF)) == PROTOBUF * 2


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(level=19).compress])
def test_a_bomb_is_stopped_at_the_bound_with_memory_flat(pack: Any) -> None:
    """100 MiB of zeros: refused, and only a bounded part of it ever held."""
    bomb = pack(bytes(100 * 1024 * 1024))
    tracemalloc.start()
    assert reason(bomb) is RejectReason.TOO_LARGE
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 60 * 1024 * 1024


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_broken_compression_is_decode(pack: Any) -> None:
    """Cut off, or only the magic bytes."""
    packed = pack(PROTOBUF)
    assert reason(packed[:6]) is RejectReason.DECODE
    assert reason(packed[: len(packed) // 2]) is RejectReason.DECODE


def test_json_is_read_as_the_specification_says() -> None:
    """Ids in hexadecimal of either case, numbers as text or number, unknown fields ignored."""
    columns = decode_spans(open_payload(as_json(), Signal.TRACES))
    assert columns.trace_hi[0] == 0x5B8EFFF798038103
    assert columns.trace_lo[0] == 0xD269B633813FC60C
    assert columns.span_id[0] == 0xEEE19B7EC3C1B174
    assert columns.parent_id[0] == 0xEEE19B7EC3C1B173
    assert (columns.end_ns - columns.start_ns).tolist() == [1_000_000_000]
    assert columns.kind.tolist() == [2]
    assert columns.error.tolist() == [True]
    assert columns.names[columns.service[0]] == "cart"


@pytest.mark.parametrize("kind", ["SPAN_KIND_SERVER", 2])
def test_json_enums_may_be_names_or_numbers(kind: Any) -> None:
    """Exporters do both."""
    assert decode_spans(open_payload(as_json(kind=kind))).kind.tolist() == [2]


def test_a_json_id_that_is_not_hexadecimal_costs_only_its_item() -> None:
    """It becomes an invalid id, and so a reject."""
    assert [r.reason for r in decode_spans(open_payload(as_json(traceId="zz"))).rejects] == [RejectReason.BAD_ID]


def test_half_a_character_in_json_is_repaired_and_costs_nothing() -> None:
    """JavaScript cuts texts between surrogates; the front door repairs it as well."""
    columns = decode_spans(open_payload(as_json(name="GET \ud83d")))
    assert columns.names[columns.operation[0]] == "GET \ufffd"


@pytest.mark.parametrize(
    "raw",
    [b"{", b"{}x", b'{"a": 1}', b'{"resourceSpans": 3}', b'{"resourceSpans": ["x"]}', b'{"resourceSpans": [{"x":'],
)
def test_json_that_is_no_otlp_is_decode(raw: bytes) -> None:
    """Broken, or about something else."""
    assert reason(raw) is RejectReason.DECODE


def test_json_nested_without_end_is_decode() -> None:
    """Ten thousand levels neither crash nor hang."""
    deep = b'{"resourceSpans":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    assert reason(deep) is RejectReason.DECODE
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(300):
        value = {"arrayValue": {"values": [value]}}
    assert reason(as_json(attributes=[{"key": "deep", "value": value}])) is RejectReason.DECODE


def test_empty_json_is_an_empty_request() -> None:
    """Accepted, 0 items."""
    assert len(decode_spans(open_payload(b"{}"))) == 0


def test_json_of_another_signal_is_wrong_signal() -> None:
    """When the caller says what it expects."""
    assert reason(as_json(), Signal.LOGS) is RejectReason.WRONG_SIGNAL
    assert reason(b'{"resourceMetrics": []}', Signal.TRACES) is RejectReason.WRONG_SIGNAL


@pytest.mark.parametrize("lead", [b"\n ", b" ", b"\xef\xbb\xbf", b"\r\n"])
def test_json_may_have_white_space_or_a_byte_order_mark_before_it(lead: bytes) -> None:
    """A protobuf request also starts with a newline; this one is told apart."""
    assert len(decode_spans(open_payload(lead + as_json()))) == 1


def test_protobuf_whose_second_byte_is_a_brace_is_still_protobuf() -> None:
    """A first resource of 123 bytes."""
    for size in range(200):
        spans = [MadeSpan("s" * size, "x", SERVER, 7, 1, 0, START_NS, START_NS + 5)]
        payload = traces_payload(spans)
        if payload[1:2] == b"{":
            assert open_payload(payload) == payload
            return
    raise AssertionError("no request of that size was made")


@pytest.mark.parametrize("decode", [decode_spans, decode_logs, decode_metrics])
def test_an_empty_request_has_no_items(decode: Any) -> None:
    """A tick is one."""
    assert len(decode(b"")) == 0
