"""A few bytes that unfold to gigabytes, or to minutes of work, are refused before they are opened."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable, Sized

import pytest
import zstandard

from api.otlp.signals import LOGS_SIGNAL, METRICS_SIGNAL, TRACES_SIGNAL, Signal
from api.otlp.unpacking import parsed, unpacked
from api.problems import Problem
from schemas.crowding import has_more_fields
from schemas.errors import BadPayload, RejectReason
from streams.otlp import decode_logs, decode_metrics, decode_spans, open_payload

TWO_MILLION = 2_000_000
DECODERS = [decode_spans, decode_logs, decode_metrics]
SIGNALS = [TRACES_SIGNAL, LOGS_SIGNAL, METRICS_SIGNAL]


def field(tag: int, content: bytes) -> bytes:
    """Return a protobuf field of bytes."""
    size, head = len(content), bytearray([tag])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size]) + content


def in_scope(items: bytes) -> bytes:
    """Return a request of one resource with one scope with these items."""
    return field(0x0A, field(0x12, items))


CROWDS = {
    "resources": b"\x0a\x00" * TWO_MILLION,
    "scopes": field(0x0A, b"\x12\x00" * TWO_MILLION),
    "items": in_scope(b"\x12\x00" * TWO_MILLION),
    "items, cut off": in_scope(b"\x12\x00" * TWO_MILLION)[:-1],
    "unknown fields": b"\x18\x00" * TWO_MILLION,
}


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
def test_a_crowd_of_empty_parts_is_refused_before_it_is_opened(decode: Callable[[bytes], Sized], crowd: bytes) -> None:
    """Four megabytes would become more than two hundred, and of metrics thirteen hundred."""
    with pytest.raises(BadPayload) as refused:
        decode(crowd)
    assert refused.value.reason is RejectReason.TOO_MANY_ITEMS
    assert "items and what is around them" in refused.value.detail


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_front_door_refuses_a_crowd_as_well(signal: Signal) -> None:
    """413, for protobuf and for JSON."""
    for body, media_type in (
        (CROWDS["items"], "application/x-protobuf"),
        (b"[" + b"{}," * TWO_MILLION, "application/json"),
    ):
        with pytest.raises(Problem) as refused:
            parsed(body, media_type, signal)
        assert refused.value.slug.status == 413


def test_metrics_without_points_are_counted() -> None:
    """They are no items; there may be as many as of those."""
    assert len(decode_metrics(in_scope(b"\x12\x00" * 50_000))) == 0
    with pytest.raises(BadPayload, match="too_many_items: 50001 items"):
        decode_metrics(in_scope(b"\x12\x00" * 50_001))


def test_points_beyond_the_cap_are_not_judged_one_by_one() -> None:
    """A sum of no temporality: each of its points is refused with words of its own."""
    payload = in_scope(field(0x12, field(0x3A, b"\x0a\x00" * TWO_MILLION)))
    tracemalloc.start()
    with pytest.raises(BadPayload, match="too_many_items"):
        decode_metrics(payload)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 16 << 20


@pytest.mark.parametrize("parts", [TWO_MILLION, 60_000])
def test_json_of_many_small_parts_is_too_large(parts: int) -> None:
    """Two hundred kilobytes of gzip would become 900 MiB; fewer with nothing in them would take seconds."""
    with pytest.raises(BadPayload) as refused:
        open_payload(b'{"resourceSpans":[' + b"{}," * parts + b"{}]}")
    assert refused.value.reason is RejectReason.TOO_LARGE


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_message_of_thousands_of_members_is_too_large(pack: Callable[[bytes], bytes]) -> None:
    """Each costs a copy of what follows: a megabyte of them took five seconds."""
    assert open_payload(pack(b"") * 1_000) == b""
    with pytest.raises(BadPayload) as refused:
        open_payload(pack(b"") * 1_001)
    assert refused.value.reason is RejectReason.TOO_LARGE


def test_a_body_of_thousands_of_gzip_members_is_413() -> None:
    """Four megabytes of them took ten seconds of one of four places."""
    assert unpacked(gzip.compress(b"") * 1_000, b"gzip") == b""
    with pytest.raises(Problem) as refused:
        unpacked(gzip.compress(b"") * 1_001, b"gzip")
    assert refused.value.slug.status == 413


def test_a_large_honest_request_is_taken() -> None:
    """Fifty thousand log records of a hundred bytes, each in a scope of its own; and as JSON what is usual."""
    record = field(0x12, field(0x2A, field(0x0A, b"x" * 90)))
    payload = field(0x0A, field(0x12, field(0x0A, b"") + record) * 50_000)
    assert len(decode_logs(payload)) == 50_000
    attributes = [{"key": f"key{n}", "value": {"stringValue": "x" * 20}} for n in range(12)]
    spans = [{"name": "GET /", "attributes": attributes} for _ in range(10_000)]
    request = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    assert open_payload(request)
    tiny = [{"key": "a", "value": {"intValue": "1"}} for _ in range(50_000)]
    dense = json.dumps({"resourceSpans": [{"resource": {"attributes": tiny}}]}, separators=(",", ":")).encode()
    assert open_payload(dense)


def test_bytes_that_are_no_protobuf_are_counted_in_bounded_time() -> None:
    """Numbers without an end, lengths beyond the end, groups."""
    for crowd in (b"\xff" * 4, b"\x0a\xff\xff\xff\x7f", b"\x0b\x0c", b"\x0a\xff"):
        assert has_more_fields(crowd * (1 << 20), 1_000) in (True, False)
