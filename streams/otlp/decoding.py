"""Decoding many messages at once: what comes of it, and who does it.

A decoder may keep names from one batch to the next, so it belongs to one stage and one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from schemas.errors import BadPayload
from streams.otlp.columns import LogColumns, MetricCounts, Reject, SpanColumns

Columns = TypeVar("Columns", SpanColumns, LogColumns, MetricCounts)


@dataclass(slots=True)
class Decoded(Generic[Columns]):
    """What some messages came to; a message is known by its place among them."""

    columns: Columns | None = None
    """The accepted items, one message after the other; None for none."""
    messages: list[int] = field(default_factory=list)
    """The messages that have any."""
    sizes: list[int] = field(default_factory=list)
    """How many items each of those has."""
    rejects: list[tuple[int, Reject]] = field(default_factory=list)
    """Items that cannot be used: the message, and which and why."""
    refused: list[tuple[int, BadPayload]] = field(default_factory=list)
    """The messages that are no use."""
    repeated: list[tuple[int, int]] = field(default_factory=list)
    """Messages whose items share more than a little, where the decoder counts it, and how many bytes (`repeating`)."""


class Decoder(Protocol[Columns]):
    """Decodes messages of one signal."""

    def decode(self, payloads: Sequence[bytes]) -> Iterator[Decoded[Columns]]:
        """Decode messages; yields what they came to, in their order, in one piece or more."""


class OneByOne(Generic[Columns]):
    """Decodes each message by itself."""

    def __init__(self, decode: Callable[[bytes], Columns]) -> None:
        self._decode: Callable[[bytes], Columns] = decode

    def decode(self, payloads: Sequence[bytes]) -> Iterator[Decoded[Columns]]:
        """Decode messages; yields one piece a message."""
        for number, payload in enumerate(payloads):
            yield decode_one(self._decode, payload, number)


def decode_one(decode: Callable[[bytes], Columns], payload: bytes, number: int) -> Decoded[Columns]:
    """Decode one message, which is called ``number``."""
    try:
        columns = decode(payload)
    except BadPayload as error:
        return Decoded(refused=[(number, error)])
    rejects = [(number, reject) for reject in columns.rejects]
    if not len(columns):
        return Decoded(rejects=rejects)
    return Decoded(columns, [number], [len(columns)], rejects)
