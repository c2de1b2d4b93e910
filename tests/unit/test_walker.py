"""The compiled decoder of traces: every message as the reference has it, whatever stands beside it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from decoder_runs import outcome_alone, outcomes_of_batch
from made_spans import CLIENT, SERVER, START_NS, MadeSpan, traces_payload

from streams.kernels.compiled import IS_COMPILED
from streams.kernels.interning import intern, intern_table, refill
from streams.kernels.spans import walk_spans
from streams.otlp import walker
from streams.otlp.walker import SpanDecoder, warm_up

SPAN = MadeSpan("cart", "GET /", CLIENT, 7, 1, 0, START_NS, START_NS + 5, peer=(("server.address", "bank"),))


def sized(tag: int, body: bytes) -> bytes:
    """Return a sized field."""
    size, prefix = len(body), bytearray([tag])
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*prefix, size]) + body


def pair(key: bytes, value: bytes) -> bytes:
    """Return a ``KeyValue`` of a string."""
    return sized(0x0A, key) + sized(0x12, sized(0x0A, value))


def request(span: bytes, resource: bytes = b"", after: bytes = b"") -> bytes:
    """Return a request with one span of given bytes; ``after`` comes behind its scope in the list."""
    return sized(0x0A, sized(0x0A, resource) + sized(0x12, sized(0x12, span)) + after)


def event(name: bytes, after: bytes = b"") -> bytes:
    """Return an event of a span; ``after`` comes behind its name."""
    return sized(0x5A, b"\x09" + bytes(8) + sized(0x12, name) + after)


def of_address(value: bytes) -> bytes:
    """Return an attribute of a span whose key is wanted, with these bytes behind the key."""
    return sized(0x4A, sized(0x0A, b"server.address") + value)


IDS = sized(0x0A, b"t" * 16) + sized(0x12, b"s" * 8)
KEY_ERROR = sized(0x1A, pair(b"exception.type", b"KeyError"))
TIMES = b"\x39" + START_NS.to_bytes(8, "little") + b"\x41" + (START_NS + 5).to_bytes(8, "little")
CALL = IDS + b"\x30\x03" + TIMES
ODD = {
    "resource behind its spans": request(CALL, after=sized(0x0A, sized(0x0A, pair(b"service.name", b"late")))),
    "service named twice": request(
        CALL, sized(0x0A, pair(b"service.name", b"one")) + sized(0x0A, pair(b"service.name", b"two"))
    ),
    "service that is a number": request(CALL, sized(0x0A, sized(0x0A, b"service.name") + sized(0x12, b"\x18\xf6\x01"))),
    "negative number": request(
        CALL, sized(0x0A, sized(0x0A, b"service.name") + sized(0x12, b"\x18" + b"\xff" * 9 + b"\x01"))
    ),
    "empty service": request(CALL, sized(0x0A, pair(b"service.name", b""))),
    "value before its key": request(CALL, sized(0x0A, sized(0x12, sized(0x0A, b"odd")) + sized(0x0A, b"service.name"))),
    "value in two parts": request(
        CALL,
        sized(0x0A, sized(0x0A, b"service.name") + sized(0x12, b"\x18\x07") + sized(0x12, sized(0x0A, b"both"))),
    ),
    "attribute that breaks off": request(CALL + sized(0x4A, sized(0x0A, b"server.address") + b"\x12\x09ab")),
    "attributes before the kind": request(IDS + sized(0x4A, pair(b"server.address", b"bank")) + b"\x30\x03" + TIMES),
    "attributes before the kind, with a time between them": request(
        IDS + sized(0x4A, pair(b"server.address", b"bank")) + TIMES + sized(0x4A, pair(b"k", b"v")) + b"\x30\x03"
    ),
    "key without a value": request(CALL + of_address(b"")),
    "value without a size": request(CALL + of_address(b"\x12")),
    "value that is empty": request(CALL + of_address(b"\x12\x00")),
    "text without a size": request(CALL + of_address(b"\x12\x01\x0a")),
    "number without digits": request(CALL + of_address(b"\x12\x01\x18")),
    "text that leaves its value": request(CALL + of_address(b"\x12\x03\x0a\x05abcde")),
    "number that leaves its value": request(CALL + of_address(b"\x12\x01\x18\x07")),
    "text, then a number": request(CALL + of_address(b"\x12\x05\x0a\x01a\x18\x07")),
    "number, then a text": request(CALL + of_address(b"\x12\x05\x18\x07\x0a\x01a")),
    "size that would fit if it were one byte": request(CALL + of_address(b"\x12\x80\x0a\x7e" + b"a" * 126)),
    "keys that are nearly wanted": request(
        CALL + sized(0x4A, pair(b"server.adXXess", b"bank")) + sized(0x4A, pair(b"db.nXme", b"bank"))
    ),
    "kind told twice": request(CALL + sized(0x4A, pair(b"server.address", b"bank")) + b"\x30\x01"),
    "nested value": request(CALL + sized(0x4A, sized(0x0A, b"server.address") + sized(0x12, sized(0x2A, b"\x0a\x00")))),
    "attribute given twice": request(
        CALL + sized(0x4A, pair(b"server.address", b"one")) + sized(0x4A, pair(b"server.address", b""))
    ),
    "unknown fields of all types": request(b"\xa0\x06\x01" + CALL + b"\xa9\x0612345678\xad\x061234\xa2\x06\x03abc"),
    "instance told by pod and host": request(
        CALL, sized(0x0A, pair(b"host.name", b"node-7")) + sized(0x0A, pair(b"k8s.pod.name", b"cart-x"))
    ),
    "instance told by host, its id empty": request(
        CALL, sized(0x0A, pair(b"service.instance.id", b"")) + sized(0x0A, pair(b"host.name", b"node-7"))
    ),
    "instance that is a number": request(
        CALL,
        sized(0x0A, sized(0x0A, b"service.instance.id") + sized(0x12, b"\x18\x07"))
        + sized(0x0A, pair(b"k8s.pod.name", b"cart-x")),
    ),
    "exception": request(CALL + event(b"exception", KEY_ERROR)),
    "exception of a span with a bad id": request(b"\x12\x08" + b"s" * 8 + TIMES + event(b"exception", KEY_ERROR)),
    "exception of a span with a bad id before a good span": request(
        sized(0x12, b"s" * 8) + TIMES + event(b"exception", KEY_ERROR),
        after=sized(0x12, sized(0x12, CALL)),
    ),
    "exception in a message that is taken back": request(CALL + event(b"exception", KEY_ERROR)) + b"\x0a" + b"\x80" * 6,
    "events that are no exceptions": request(
        CALL + event(b"exceptioN", KEY_ERROR) + event(b"exceptions", KEY_ERROR) + event(b"", KEY_ERROR)
    ),
    "exception named twice": request(CALL + event(b"exception", KEY_ERROR + sized(0x12, b"retry"))),
    "exception named at last": request(CALL + event(b"retry", KEY_ERROR + sized(0x12, b"exception"))),
    "exception without a type": request(CALL + event(b"exception", sized(0x1A, pair(b"exception.message", b"no")))),
    "exception that breaks off": request(CALL + event(b"exception", KEY_ERROR + b"\x1a\x09a")),
    "group before the name of an event": request(
        CALL + sized(0x5A, b"\x23\x24" + sized(0x12, b"exception") + KEY_ERROR)
    ),
    "event that is a number": request(CALL + b"\x58\x07"),
    "event before the ids": request(event(b"exception", KEY_ERROR) + CALL + event(b"exception", KEY_ERROR)),
    "group": request(CALL + b"\xa3\x06\x08\x01\xa4\x06"),
    "group in an attribute": request(CALL + sized(0x4A, pair(b"server.address", b"bank") + b"\x1b\x1c")),
    "group in a status": request(CALL + sized(0x7A, b"\x1b\x1c\x18\x02")),
    "group that does not end": request(CALL + b"\xa3\x06\x08\x01"),
    "status told twice": request(CALL + sized(0x7A, b"\x18\x02") + sized(0x7A, b"\x18\x01")),
    "status with a message": request(CALL + sized(0x7A, sized(0x12, b"failed") + b"\x18\x02")),
    "status that breaks off": request(CALL + sized(0x7A, b"\x18\x02\x12\x09a")),
    "kind beyond 32 bits": request(IDS + b"\x30\x83\x80\x80\x80\x10" + TIMES),
    "negative kind": request(IDS + b"\x30" + b"\xff" * 9 + b"\x01" + TIMES),
    "packed kind": request(IDS + sized(0x32, b"\x03") + TIMES),
    "varint of eleven bytes": request(IDS + b"\x30" + b"\xff" * 10 + b"\x01"),
    "size of six bytes": b"\x0a\x80\x80\x80\x80\x80\x00",
    "size of five bytes": request(CALL) + b"\x0a\x80\x80\x80\x80\x00",
    "size beyond the message": request(CALL)[:-1],
    "tag of six bytes": request(CALL) + b"\x8a\x80\x80\x80\x80\x00\x00",
    "field 0": request(CALL) + b"\x02\x00",
    "wire type 7": request(CALL) + b"\x0f",
    "trace id given twice": request(CALL + sized(0x0A, b"u" * 16)),
    "long name": request(CALL + sized(0x2A, b"n" * 5000)),
    "long name that is not UTF-8 behind the cut": request(CALL + sized(0x2A, b"n" * 2000 + b"\xff")),
    "nothing": b"",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_message_is_read_as_the_reference_reads_it(name: str) -> None:
    """Alone, and between two others, which lose nothing by it."""
    good = traces_payload([SPAN, replace(SPAN, span=2, service="pay", kind=SERVER)])
    expected = outcome_alone(ODD[name])
    assert outcomes_of_batch(SpanDecoder(), [ODD[name]]) == [expected]
    whole = outcome_alone(good)
    assert outcomes_of_batch(SpanDecoder(), [good, ODD[name], good]) == [whole, expected, whole]


def test_a_batch_larger_than_any_room_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table, intern table and the bytes joined at once grow, or are begun anew; nothing is lost at the seams."""
    monkeypatch.setattr(walker, "_FIRST_ROWS", 8)
    monkeypatch.setattr(walker, "_FIRST_REJECTS", 1)
    monkeypatch.setattr(walker, "_FIRST_EVENTS", 1)
    monkeypatch.setattr(walker, "MAX_ROWS", 100)
    monkeypatch.setattr(walker, "JOINED_BYTES", 2_000)
    monkeypatch.setattr(walker, "ALONE_BYTES", 1_500)
    payloads = [
        traces_payload(
            [
                replace(
                    SPAN, trace=m + 1, span=n, name=f"operation {m} {n}", exceptions=(("E", f"{m} {n}", ""),) * (n % 3)
                )
                for n in range(m % 40)
            ]
        )
        for m in range(120)
    ]
    decoder = SpanDecoder()
    assert outcomes_of_batch(decoder, payloads) == [outcome_alone(payload) for payload in payloads]
    monkeypatch.setattr(walker, "MAX_LEXICON_BYTES", 0)
    assert outcomes_of_batch(decoder, payloads[:9]) == [outcome_alone(payload) for payload in payloads[:9]]


def test_columns_keep_their_names_when_the_decoder_goes_on() -> None:
    """What was given out before new names came still says the same."""
    decoder = SpanDecoder()
    (first,) = [one for one in decoder.decode([traces_payload([SPAN])]) if one.columns is not None]
    list(decoder.decode([traces_payload([replace(SPAN, name=f"n{n}", span=n + 1) for n in range(6000)])]))
    assert first.columns is not None
    assert first.columns.names[first.columns.operation[0]] == "GET /"


def test_without_compiled_code_every_message_goes_to_the_reference() -> None:
    """The same answers."""
    payloads = [traces_payload([SPAN]), b"\xff", ODD["group"]]
    decoder = SpanDecoder(is_compiled=False)
    assert outcomes_of_batch(decoder, payloads) == [outcome_alone(payload) for payload in payloads]


def test_equal_strings_have_equal_numbers_and_no_others() -> None:
    """Many strings of many lengths, also such that begin alike."""
    chance, table, known = random.Random(3), intern_table(8192, 1 << 18, 5), dict[tuple[bytes, int], int]()
    for _ in range(8000):
        begin = chance.choice((b"", b"GET /", b"1234567", b"12345678", b"123456789012345", b"1234567890123456"))
        raw = begin + chance.randbytes(chance.randrange(3)) + begin[: chance.choice((0, 0, 9))]
        category = chance.randrange(2)
        data = np.frombuffer(bytearray(b"<" + raw + b">"), np.uint8)
        number = int(intern(table, data, 1, len(data) - 1, category))
        assert known.setdefault((raw, category), number) == number
    assert len(set(known.values())) == len(known)


@pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here")
def test_after_the_warm_up_nothing_is_left_to_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature that only real messages have would be compiled while they wait."""
    warm_up()
    known = [len(function.signatures) for function in (walk_spans, intern, refill)]
    monkeypatch.setattr(walker, "_FIRST_ROWS", 8)
    names = [replace(SPAN, name=f"n{n}", span=n + 1) for n in range(6000)]
    list(SpanDecoder().decode([traces_payload([SPAN]), b"\xff", traces_payload(names)]))
    assert [len(function.signatures) for function in (walk_spans, intern, refill)] == known
