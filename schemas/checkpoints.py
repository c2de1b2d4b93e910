"""What the raw sink remembers of each source partition, and what an insert in flight is made of.

::

    otel.traces:0:120-180,2:77-90@1780000000000000000
    topic       ranges of offsets  wall clock of the first attempt      = deduplication token of that one insert

One insert holds rows of several partitions, because an insert costs ClickHouse the same however small it is
(docs/adr/0016). Its token says what is in it, so whoever owns any of those partitions next can build the very same
insert again from Kafka.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"([^:@]+):((?:\d+:\d+-\d+,?)+)@(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class OffsetRange:
    """Offsets ``first`` to ``last`` of one partition, both included."""

    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class PendingInsert:
    """An insert that may or may not have reached ClickHouse.

    ``wall_ns`` is the clock of the first attempt. Arrivals in the future are taken back to it, so that the rows are
    the same in a later attempt; and it keeps the token from meeting one of a topic that was deleted and made anew.
    """

    topic: str
    ranges: tuple[OffsetRange, ...]
    wall_ns: int

    @property
    def token(self) -> str:
        """The deduplication token: the insert in one line."""
        return f"{self.topic}:{','.join(map(str, self.ranges))}@{self.wall_ns}"

    @classmethod
    def parse(cls, token: str) -> PendingInsert:
        """Return the insert that a token stands for. Raises `ValueError`."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise ValueError(f"not a token of an insert: {token[:200]!r}")
        ranges = tuple(OffsetRange(*map(int, re.split("[:-]", part))) for part in found[2].split(","))
        return cls(found[1], ranges, int(found[3]))

    def range_of(self, partition: int) -> OffsetRange | None:
        """Return the offsets of ``partition`` in this insert, or None."""
        return next((each for each in self.ranges if each.partition == partition), None)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One partition as its owner knows it. Rows at or below ``durable_offset`` are stored or dead-lettered."""

    partition: int
    epoch: int
    durable_offset: int = -1
    pending: PendingInsert | None = None
