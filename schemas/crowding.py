"""How many parts a telemetry request has, counted before it is opened: an empty part takes two bytes, and seventy when
it is open.

Resources, scopes and items are fields 1, 2 and 2 of one another in all three signals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

UNCOUNTED_BYTES: Final = 1 << 20
"""A smaller request is opened as it is: whatever it holds, it unfolds to less than 100 MiB."""

MOST_JSON_PARTS: Final = 1_000_000
"""Objects and lists of a JSON request; real ones have one in fifty bytes."""

UNCOUNTED_JSON_PARTS: Final = 50_000
LEAST_BYTES_A_PART: Final = 8
"""Of a JSON request with more parts than these. Attributes of one letter take eighteen, and a part takes 15 us."""

MOST_REPEATED_BYTES: Final = 256 << 20
"""Of what items share (resource, scope, metric), as often as it is stored: with each of them."""

_WAY_DOWN: Final = (1, 2)
"""The fields that lead from a request to its scopes."""

_MOST_VARINT_BYTES: Final = 10


def has_more_fields(payload: bytes, most: int) -> bool:
    """Tell whether a protobuf request has more than ``most`` fields from its top down to its items.

    Takes at most so many steps. What is not protobuf is counted as far as it can be read.
    """
    if len(payload) < UNCOUNTED_BYTES:
        return False
    return any(count > most for count, _ in enumerate(_fields(payload, 0, len(payload), 0), start=1))


def has_more_parts(text: bytes, most: int = MOST_JSON_PARTS) -> bool:
    """Tell whether a JSON text may have more than ``most`` objects and lists, or many and hardly anything in them."""
    parts = text.count(b"{") + text.count(b"[")
    return parts > most or (parts > UNCOUNTED_JSON_PARTS and parts * LEAST_BYTES_A_PART > len(text))


def _fields(data: bytes, at: int, end: int, level: int) -> Iterator[None]:
    """Yield once for each field of a message in [at, end), and for each of those below it."""
    while at < end:
        tag, at = _varint(data, at, end)
        yield None
        match tag & 7:
            case 0:
                _, at = _varint(data, at, end)
            case 1:
                at += 8
            case 2:
                size, at = _varint(data, at, end)
                if level < len(_WAY_DOWN) and tag >> 3 == _WAY_DOWN[level]:
                    yield from _fields(data, at, min(at + size, end), level + 1)
                at += size
            case 5:
                at += 4


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, and where it ends."""
    value = 0
    for place in range(min(_MOST_VARINT_BYTES, end - at)):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return value, min(at + _MOST_VARINT_BYTES, end)
