"""Messages that hold one thing which compiled code must leave to SQL, and some like them that hold nothing odd.

They are what mutation of sound ones seldom makes: two faults that only together look right, or a fault at the very end.
"""

from __future__ import annotations

TRACES, LOGS, METRICS = "otel.traces", "otel.logs", "otel.metrics"


def varint(number: int) -> bytes:
    """Return an unsigned number as protobuf writes it."""
    head = b""
    while number > 0x7F:
        head, number = head + bytes([number & 0x7F | 0x80]), number >> 7
    return head + bytes([number])


def sized(field: int, *parts: bytes) -> bytes:
    """Return a field of bytes, a text or a message."""
    content = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    """Return a field that is a varint."""
    return varint(field << 3) + varint(value)


def fixed(field: int, value: int) -> bytes:
    """Return a field of eight bytes."""
    return varint(field << 3 | 1) + value.to_bytes(8, "little")


def packed(*values: int) -> bytes:
    """Return numbers of eight bytes, one after the other."""
    return b"".join(value.to_bytes(8, "little") for value in values)


GAUGE = sized(5, sized(1))
"""A metric of one point."""


def request(*items: bytes) -> bytes:
    """Return a message of one list with one scope."""
    return sized(1, sized(2, *(sized(2, item) for item in items)))


def of_resource(*parts: bytes) -> bytes:
    """Return a message of one gauge, in a list with these parts besides."""
    return sized(1, *parts, sized(2, sized(2, GAUGE)))


def of_scope(*parts: bytes) -> bytes:
    """Return a message of one gauge, in a scope with these parts besides."""
    return sized(1, sized(2, *parts, sized(2, GAUGE)))


def data(field: int, *parts: bytes) -> bytes:
    """Return a message of one metric with data of one type, cumulative where a type has a temporality."""
    temporality = number(2, 2) if field in {7, 9, 10} else b""
    return request(sized(field, *parts, temporality))


def gauge(*parts: bytes) -> bytes:
    """Return a message of one gauge of one point."""
    return data(5, sized(1, *parts))


def histogram(*parts: bytes) -> bytes:
    """Return a message of one histogram of one point."""
    return data(9, sized(1, *parts))


def exponential(*parts: bytes) -> bytes:
    """Return a message of one exponential histogram of one point."""
    return data(10, sized(1, *parts))


def attribute(*parts: bytes) -> bytes:
    """Return a message of one gauge whose point has one attribute, at its very end."""
    return gauge(sized(7, *parts))


def valued(*parts: bytes) -> bytes:
    """Return a message of one gauge whose point has one attribute with a value made of this."""
    return attribute(sized(1, b"k"), sized(2, *parts))


PAIR = sized(1, b"k")
LARGE_PAIR = PAIR + sized(2, sized(7, bytes(1536)))
"""As large as it may be; 128 of them would not fit in the room of a resource, or of a scope."""

TRACE_ID, SPAN_ID = sized(1, b"t" * 16), sized(2, b"s" * 8)


def span(*parts: bytes) -> bytes:
    """Return a message of one span with its ids."""
    return request(TRACE_ID + SPAN_ID + b"".join(parts))


ONE, TWO = 0x3FF0000000000000, 0x4000000000000000
"""Doubles, as what they are made of."""

SOUND: dict[str, dict[str, bytes]] = {
    TRACES: {
        "a span": span(sized(4, b"p" * 8), *[sized(9, PAIR)] * 128),
        "a span with an event and a link": span(sized(11, *[sized(3, PAIR)] * 128), sized(13, *[sized(4, PAIR)] * 128)),
        "a span with a status": span(sized(15, sized(2, b"a"), number(3, 2))),
    },
    LOGS: {
        "a record": request(sized(9, b"t" * 16) + sized(6, PAIR) * 128),
        "a record with a body": request(sized(5, sized(1, b"a"))),
    },
    METRICS: {
        "a gauge": gauge(fixed(4, ONE)),
        "a gauge with unknown fields": gauge(fixed(4, ONE), sized(30, b"x"), number(31, 1)),
        "an attribute that is empty": attribute(),
        "an attribute with a bool": valued(number(2, 1)),
        "a service without a name, at the end": sized(
            1, sized(2, sized(2, GAUGE)), sized(1, sized(1, sized(1, b"service.name")))
        ),
        "128 attributes": gauge(*[sized(7, PAIR)] * 128),
        "a resource that is long, of many points": sized(
            1, sized(1, *[sized(1, PAIR, sized(2, sized(1, b"x" * 400)))] * 60), sized(2, *[sized(2, GAUGE)] * 20)
        ),
        "unknown fields around": of_resource(number(30, 1), sized(1, number(30, 1))),
        "unknown fields in a scope": of_scope(number(30, 1), sized(1, number(30, 1))),
        "a service whose name is a number": of_resource(
            sized(1, sized(1, sized(1, b"service.name"), sized(2, number(3, 7))))
        ),
        "a key as long as that of the service": of_resource(
            sized(1, sized(1, sized(1, b"service.mane"), sized(2, sized(1, b"cart"))))
        ),
        "a resource": of_resource(sized(1, *[sized(1, PAIR)] * 128)),
        "a scope": of_scope(sized(1, sized(1, b"a"), *[sized(3, PAIR)] * 128)),
        "a histogram": histogram(fixed(4, 3), sized(6, packed(1, 2)), sized(7, packed(ONE))),
        "a count of 64 bits": exponential(fixed(4, 2**64 - 1), sized(8, sized(2, b"\xff" * 9 + b"\x01"))),
        "an exponential histogram": exponential(fixed(4, 3), sized(8, sized(2, b"\x01\x02"))),
    },
}
"""By topic and name: what is flattened."""

ODD: dict[str, dict[str, bytes]] = {
    METRICS: {
        "bounds and no buckets": histogram(sized(7, packed(ONE))),
        "buckets and no bounds": histogram(fixed(4, 3), sized(6, packed(1, 2))),
        "buckets that add up to another count": histogram(fixed(4, 4), sized(6, packed(1, 2)), sized(7, packed(ONE))),
        "bounds that do not rise": histogram(sized(6, packed(0, 0, 0)), sized(7, packed(ONE, ONE))),
        "sides that add up to another count": exponential(fixed(4, 4), sized(8, sized(2, b"\x01\x02"))),
        "a scale of 21": exponential(number(6, 42)),
        "a NaN among bounds": histogram(sized(6, packed(0, 0, 0)), sized(7, packed(ONE, 0x7FF8 << 48))),
        "bounds and buckets that are cut off": histogram(sized(6, bytes(17)), sized(7, bytes(9))),
        "a count that is cut off": exponential(fixed(4, 1), sized(8, sized(2, b"\x01\x80"))),
        "a count of more than 64 bits": exponential(fixed(4, 2**63 - 1), sized(8, sized(2, b"\xff" * 9 + b"\x02"))),
        "data of two types, before a gauge": request(
            sized(5, sized(1)) + sized(7, sized(1), number(2, 2)), sized(5, sized(1))
        ),
        "a gauge with a temporality": data(5, sized(1), number(2, 1)),
        "a monotonic gauge": data(5, sized(1), number(3, 1)),
        "a monotonic histogram": data(9, sized(1), number(3, 1)),
        "a sum that is monotonic twice over": data(7, sized(1), number(3, 2)),
        "a temporality that nobody knows": request(sized(7, sized(1), number(2, 3))),
        "a value that is a double and an integer": gauge(fixed(4, ONE), fixed(6, 1)),
        "a value that is there twice": gauge(fixed(4, ONE), fixed(4, TWO)),
        "a field of a histogram in a gauge": gauge(sized(6, packed(1))),
        "a scale of more than 32 bits": exponential(number(6, 1 << 32)),
        "129 attributes": gauge(*[sized(7, PAIR)] * 129),
        "129 attributes of a resource": of_resource(sized(1, *[sized(1, PAIR)] * 129)),
        "129 attributes of a scope": of_scope(sized(1, *[sized(3, PAIR)] * 129)),
        "a large resource": of_resource(sized(1, *[sized(1, LARGE_PAIR)] * 128)),
        "a large scope": of_scope(sized(1, *[sized(3, LARGE_PAIR)] * 128)),
        "two resources": of_resource(sized(1, sized(1, PAIR)), sized(1)),
        "two scopes of one list of metrics": of_scope(sized(1, sized(1, b"a")), sized(1)),
        "two names of a scope": of_scope(sized(1, sized(1, b"a"), sized(1, b"b"))),
        "an attribute of a resource that is a number": of_resource(sized(1, number(1, 1))),
        "a version of a scope that is a number": of_scope(sized(1, number(2, 1))),
        "a list that is a number": gauge() + number(1, 1),
        "a resource that is a number": of_resource(number(1, 1)),
        "an attribute that is a number": gauge(number(7, 1)),
        "a value that is cut off": gauge(b"\x21abcd"),
        "flags of more than 32 bits": gauge(number(8, 1 << 32)),
        "an attribute with an integer of eight bytes": valued(fixed(3, 1)),
        "an attribute with half a double": valued(b"\x21abcd"),
        "an attribute with a bool of two bytes": valued(b"\x10\x81\x00"),
        "an attribute with a bool of none": valued(b"\x10"),
        "an attribute with a bool that is 2": valued(number(2, 2)),
        "an attribute with an integer of more than 64 bits": valued(b"\x18" + b"\xff" * 9 + b"\x02"),
        "a text that looks as if it had been cut": valued(sized(1, b"x" * 2045 + "…".encode())),
        "an attribute with two values": valued(number(3, 1), number(2, 1)),
    },
    TRACES: {
        "a short trace id": request(sized(1, b"t" * 15) + SPAN_ID),
        "a trace id of zeros": request(sized(1, bytes(16)) + SPAN_ID),
        "a long span id": request(TRACE_ID + sized(2, b"s" * 9)),
        "a span id of zeros": request(TRACE_ID + sized(2, bytes(8))),
        "a short parent": span(sized(4, b"p" * 7)),
        "129 attributes": span(*[sized(9, PAIR)] * 129),
        "an event with 129 attributes": span(sized(11, *[sized(3, PAIR)] * 129)),
        "a link with 129 attributes": span(sized(13, *[sized(4, PAIR)] * 129)),
        "flags that are cut off": span(b"\x85\x01ab"),
        "an event whose time is cut off": span(sized(11, b"\x09abcd")),
        "an event with two names": span(sized(11, sized(2, b"a"), sized(2, b"b"))),
        "an event with a name that is a number": span(sized(11, number(2, 1))),
        "a link whose flags are cut off": span(sized(13, b"\x35ab")),
        "a link with two states": span(sized(13, sized(3, b"a"), sized(3, b"b"))),
        "a status with two codes": span(sized(15, number(3, 1), number(3, 2))),
        "a status with two messages": span(sized(15, sized(2, b"a"), sized(2, b"b"))),
        "a status that is negative": span(sized(15, number(3, 2**64 - 1))),
    },
    LOGS: {
        "a short trace id": request(sized(9, b"t" * 15)),
        "129 attributes": request(sized(6, PAIR) * 129),
        "a body that is an array": request(sized(5, sized(5))),
        "a body that is a list": request(sized(5, sized(6))),
        "a severity that is negative": request(number(2, 2**64 - 9)),
        "a severity of more than 31 bits": request(number(2, 2**31)),
        "flags that are cut off": request(b"\x45ab"),
    },
}
"""By topic and name: what is left alone."""
