"""What a fetch brings of a partition is read where it was received, not copied out first.

::

    answer's bytes ─┬─ header, offsets …    decoded by aiokafka as ever
                    └─ record sets ──▶ a view each ──▶ batches ──▶ records, whose values are copies

aiokafka copies each record set out of the answer, up to 4 MiB at a time into memory that is fresh, and its compiled
reader takes nothing but such a copy. Its other reader takes a view, and hands the same compiled batches out. An answer
is forgotten when the records of all partitions that look into it are taken.
"""

from __future__ import annotations

import io
from typing import Any

import aiokafka.consumer.fetcher as fetcher
from aiokafka.protocol import fetch
from aiokafka.protocol.types import Bytes, Int32
from aiokafka.record.memory_records import _MemoryRecordsPy

SMALLEST_SHARE = 16
"""A record set that is a smaller part of its answer than one in so many is copied: a few records of a partition nobody
takes would keep all of it."""


class RecordSet(Bytes):  # type: ignore[misc]  # has no types
    """A record set as Kafka's protocol has it: its length as int32, then its bytes; -1 where there are no records."""

    @classmethod
    def decode(cls, data: io.BytesIO) -> Any:
        """Return the bytes where they are (a ``memoryview``), or a copy. Raises ``ValueError`` when there are fewer."""
        length, begin = max(0, Int32.decode(data)), data.tell()
        answer = data.getvalue()  # itself: nobody writes to it
        if begin + length > len(answer):
            raise ValueError("an answer of a broker ends within a record set")
        data.seek(length, io.SEEK_CUR)
        part = memoryview(answer)[begin : begin + length]
        return part if SMALLEST_SHARE * length >= len(answer) else bytes(part)


def read_in_place() -> None:
    """Let every consumer of this process read record sets in place.

    Overridden internals of aiokafka 0.14: the last field of a partition in each version of a fetch's answer, and what
    reads it.
    """
    for name in [name for name in vars(fetch) if name.startswith("FetchResponse_v")]:
        topics = getattr(fetch, name).SCHEMA.fields[-1].array_of
        partitions = topics.fields[-1].array_of
        partitions.fields = (*partitions.fields[:-1], RecordSet)
    fetcher.MemoryRecords = _MemoryRecordsPy
