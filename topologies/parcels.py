"""Records on their way from the consumer to a stage, many of one partition in one Faust message.

::

    poll ──▶ records of a partition ──▶ parcels ──▶ Faust message each ──▶ channel, stream ──▶ records_of ──▶ Lanes

Faust's way of a message (a task, two awaits, an event, a queue, the sensors, the acknowledgement) costs about 0.2 ms,
however small it is: ten times what ingest needs to take a small record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sinks.kafka.arrivals import arrival_ns

PARCEL_RECORDS = 256
PARCEL_BYTES = 2 << 20
"""A parcel is full with so many records or bytes of values: a batch may be larger than its limits by one parcel."""


class Record(NamedTuple):
    """A raw Kafka record as the stages take it. ``timestamp_ns`` is Kafka's (milliseconds, widened), within int64.

    It may lie in the future, as far as the end of int64 where the record does not tell a time.
    """

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """Records of one partition in the order of their offsets: the value of a Faust message.

    What Faust asks of a record it is told of the first one, so that a rewind into a parcel does not drop its end.
    """

    records: tuple[Record, ...]
    size_bytes: int
    """Of their values."""
    first: Any
    """The first of them, as aiokafka gave it (``ConsumerRecord``)."""


def parcels(consumed: Sequence[Any]) -> Iterator[Parcel]:
    """Pack the records of one partition as aiokafka gave them."""
    start, size_bytes = 0, 0
    for end, one in enumerate(consumed, 1):
        size_bytes += len(one.value or b"")
        if end - start == PARCEL_RECORDS or size_bytes >= PARCEL_BYTES or end == len(consumed):
            yield Parcel(tuple(map(record_of, consumed[start:end])), size_bytes, consumed[start])
            start, size_bytes = end, 0


def record_of(consumed: Any) -> Record:
    """Return a record of aiokafka's as the stages take it."""
    return Record(
        consumed.offset,
        consumed.key,
        consumed.value,
        tuple(consumed.headers or ()),
        arrival_ns(consumed.timestamp),
    )


def records_of(message: Any) -> tuple[Record, ...]:
    """Return what a Faust message brings: the records of a parcel, or itself (from a channel without Kafka)."""
    if isinstance(message.value, Parcel):
        return message.value.records
    timestamp_ns = arrival_ns(round((message.timestamp or 0.0) * 1000))
    return (Record(message.offset, message.key, message.value, tuple(message.headers or ()), timestamp_ns),)


def size_of(message: Any) -> tuple[int, int]:
    """Return how many records a Faust message brings, and how many bytes of values."""
    if isinstance(message.value, Parcel):
        return len(message.value.records), message.value.size_bytes
    return 1, len(message.value or b"")
