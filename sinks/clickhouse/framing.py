"""Kafka records as ClickHouse's ``Protobuf`` input: one length-delimited ``Record`` message each (schemas/proto).

The value stands in a field of its own, with its length before it, and our fields follow. So its bytes are copied,
never parsed; and a value that names a tenant, or breaks off in the middle of a field, reaches nothing outside itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from schemas.dead_letters import Replay

# Protobuf tags of Record: field number << 3 | wire type (0 varint, 2 length-delimited).
_REQUEST = b"\x0a"
_TENANT = b"\x12"
_PARTITION = b"\x18"
_OFFSET = b"\x20"
_ARRIVAL = b"\x28"

LATEST_ARRIVAL_NS = 2**62
"""Year 2116: what is later than this cannot be an arrival, and fits no Date."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One Kafka record to be landed.

    ``value`` is an OTLP export request in protobuf, taken as it is; ``arrival_ns`` is when the record arrived, by
    the clock its tenant is on. ``is_driven``: that is not our clock, and may be ahead of it. ``repeated_bytes`` is how
    much its items share, as often as it is stored. ``sent`` is what the record held, where that is not ``value``
    (packed, or JSON); ``replay`` says which dead letter it brings again.
    """

    tenant: str
    partition: int
    offset: int
    value: bytes
    arrival_ns: int
    is_driven: bool = False
    repeated_bytes: int = 0
    sent: bytes | None = None
    replay: Replay | None = None


def frame(rows: Iterable[RawRow]) -> bytes:
    """Return the rows as one block of ClickHouse's ``Protobuf`` format."""
    parts: list[bytes] = []
    for row in rows:
        tenant = row.tenant.encode()
        head = _REQUEST + varint(len(row.value))
        tail = b"".join(
            (
                _TENANT, varint(len(tenant)), tenant,
                _PARTITION, varint(row.partition),
                _OFFSET, varint(row.offset),
                _ARRIVAL, varint(min(max(row.arrival_ns, 0), LATEST_ARRIVAL_NS)),
            )
        )  # fmt: skip
        parts += (varint(len(head) + len(row.value) + len(tail)), head, row.value, tail)
    return b"".join(parts)


def varint(number: int) -> bytes:
    """Encode a number in [0, 2**64) as a protobuf varint."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@cache
def landing_schema(signal: str) -> str:
    """Return the .proto of a signal (``traces``, ``logs``, ``metrics``) in one piece, short enough for a URL."""
    text = _proto("common") + re.sub(r'syntax = .*;|import ".*";', "", _proto(signal))
    return re.sub(r"\s+", " ", re.sub(r"//.*", "", text)).strip()


def _proto(name: str) -> str:
    return resources.files("schemas").joinpath("proto", f"{name}.proto").read_text(encoding="utf-8")
