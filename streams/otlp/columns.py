"""The columns a decoded message becomes: one numpy array a field, strings as indices into a list of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.errors import RejectReason

MAX_ITEMS = 50_000
"""Items of one message; more is `RejectReason.TOO_MANY_ITEMS`."""

MAX_RESOURCES = 1_000
"""Resources (with items) of one message."""

MAX_FIELDS = 5 * MAX_ITEMS
"""Fields of one message from its top down to its items: there is room for each item in a scope of its own."""

INT64_MAX = (1 << 63) - 1


class Signal(StrEnum):
    """The three signals of OTLP."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class PeerKind(IntEnum):
    """What a client, producer or consumer span says is on its other side."""

    NONE = 0
    DATABASE = 1
    MESSAGING = 2
    EXTERNAL = 3


class SpanFlag(IntFlag):
    """What was odd about a span that was kept."""

    CLAMPED = 1
    """A time was 0 or beyond the year 2262."""
    NEGATIVE = 2
    """It ended before it started."""
    UNKNOWN_KIND = 4
    """Its kind is none of OTLP's."""


@dataclass(frozen=True, slots=True)
class Reject:
    """An item that cannot be used; ``item`` is its place in the message (0-based, in wire order)."""

    item: int
    reason: RejectReason
    detail: str


class Line(NamedTuple):
    """What tells one kind of log line or exception from another, and the beginning of the text it was made of."""

    kind: str
    """``log`` or ``exception``."""
    shape: str
    text: str


@dataclass(slots=True)
class SignedRows:
    """The rows of a message that have a line: ``row`` counts its accepted items, ``line`` indexes ``lines``.

    An item may have several (a span with two exceptions).
    """

    row: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    line: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    mark: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    """What an exception of a span is known by (`streams.otlp.lines.mark_of`); 0 is nothing."""
    trace_ids: list[bytes] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    unread: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    """The rows of exceptions that were too many for their message, a place each."""

    def part(self, begin: int, end: int) -> SignedRows:
        """Return what is of the rows from ``begin`` to ``end``, where ``row`` and ``unread`` ascend."""
        if not len(self.row) and not len(self.unread):
            return self
        first, last = np.searchsorted(self.row, (begin, end)).tolist()
        unread = self.unread[slice(*np.searchsorted(self.unread, (begin, end)).tolist())]
        row, line, mark = self.row[first:last] - begin, self.line[first:last], self.mark[first:last]
        return SignedRows(row.astype(np.int32), line, mark, self.trace_ids[first:last], self.lines, unread - begin)


SPAN_DTYPES: dict[str, type] = {
    "trace_hi": np.uint64, "trace_lo": np.uint64, "span_id": np.uint64, "parent_id": np.uint64,
    "service": np.int32, "operation": np.int32, "instance": np.int32, "version": np.int32, "peer": np.int32,
    "peer_kind": np.uint8, "kind": np.uint8, "error": np.bool_, "start_ns": np.int64, "end_ns": np.int64,
    "flags": np.uint8, "tier": np.uint8, "person": np.uint64,
}  # fmt: skip
"""The columns of `SpanColumns`."""


@dataclass(slots=True)
class SpanColumns:
    """The accepted spans of a message, or of several one after the other, in wire order.

    ``service``, ``operation``, ``instance``, ``version`` and ``peer`` index ``names``; -1 is none. ``kind`` is
    OTLP's enum, ``error`` is status ERROR. Trace ids are two big-endian halves; ``parent_id`` 0 is a root.
    """

    trace_hi: NDArray[np.uint64]
    trace_lo: NDArray[np.uint64]
    span_id: NDArray[np.uint64]
    parent_id: NDArray[np.uint64]
    service: NDArray[np.int32]
    operation: NDArray[np.int32]
    instance: NDArray[np.int32]
    version: NDArray[np.int32]
    peer: NDArray[np.int32]
    peer_kind: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    error: NDArray[np.bool_]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    flags: NDArray[np.uint8]
    tier: NDArray[np.uint8]
    """Place in `streams.otlp.resources.TIERS`: what the resource says of its service."""
    person: NDArray[np.uint64]
    """Hash of whom a span was for (`streams.otlp.people`), where a trace begins or a service is called; 0 is nobody."""
    names: list[str]
    signed: SignedRows = field(default_factory=SignedRows)
    """The exceptions that spans tell of in their events, up to `streams.otlp.lines.MAX_LINES` of a message."""
    rejects: list[Reject] = field(default_factory=list)
    repaired: int = 0
    """Spans whose operation was not UTF-8."""
    truncated: int = 0
    """Names of spans that were cut."""

    def __len__(self) -> int:
        """How many spans were accepted."""
        return len(self.span_id)


@dataclass(slots=True)
class LogColumns:
    """The accepted log records of one message. ``severity`` indexes `streams.contents.SEVERITIES`."""

    service: NDArray[np.int32]
    time_ns: NDArray[np.int64]
    severity: NDArray[np.uint8]
    names: list[str]
    signed: SignedRows = field(default_factory=SignedRows)
    """The records of which signatures are made: those of some severity, up to `streams.otlp.lines.MAX_LINES`."""
    rejects: list[Reject] = field(default_factory=list)
    repaired: int = 0
    truncated: int = 0

    def __len__(self) -> int:
        """How many records were accepted."""
        return len(self.time_ns)


class ResourceMetrics(NamedTuple):
    """The metrics of one resource and its attributes, as they came: most are never looked at."""

    attributes: Sequence[bytes]
    metrics: Sequence[Any]


@dataclass(slots=True)
class MetricCounts:
    """How many metrics and points a message holds, and what single series are made of; no window has them."""

    metrics: int
    points: dict[str, int]
    """Data points by type: gauge, sum, histogram, exponential_histogram, summary."""
    rejects: list[Reject] = field(default_factory=list)
    resources: list[ResourceMetrics] = field(default_factory=list)

    def __len__(self) -> int:
        """How many data points were accepted."""
        return sum(self.points.values())
