"""A block of span stubs: the record of ``telemetry.stubs``, and how a block that comes again is recognised."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadPayload, RejectReason
from streams.batch import Batch
from streams.grouping import Ints, runs_in
from streams.mixing import Hashes, hashes_of, mix, tenant_salt
from streams.otlp.columns import SpanColumns, SpanFlag
from streams.vocabulary import Vocabulary

FORMAT = 1

_COLUMNS: dict[str, str] = {
    "trace": "<u8", "span": "<u8", "parent": "<u8", "start_ns": "<i8", "end_ns": "<i8", "arrival_ns": "<i8",
    "offset": "<i8", "service": "<i4", "operation": "<i4", "peer": "<i4", "peer_kind": "<u1", "kind": "<u1",
    "error": "<u1", "person": "<u8",
}  # fmt: skip
_SPARSE = "person"
"""The last column is left out where it is all 0, as it was before it existed."""
_BY_RECORD = ("arrival_ns", "offset")
"""The columns that are the same for all spans of a raw record: sent once a record."""

_MAX_SOURCES = 10_000
_MAX_STRETCHES = 64
"""What of these is forgotten loses nothing: sent again it is taken again, and its spans are counted as duplicates."""


@dataclass(slots=True)
class StubColumns:
    """Stubs as columns. ``trace``, ``span`` and ``parent`` are hashes; ``parent`` 0 is a root.

    ``service``, ``operation`` and ``peer`` index a list of names (-1 is none); ``offset`` is of the raw record.
    """

    trace: Hashes
    span: Hashes
    parent: Hashes
    start_ns: Ints
    end_ns: Ints
    arrival_ns: Ints
    offset: Ints
    service: NDArray[np.int32] | Ints
    operation: NDArray[np.int32] | Ints
    peer: NDArray[np.int32] | Ints
    peer_kind: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    error: NDArray[np.uint8]
    person: Hashes
    """Of whom a span was for, 0 is nobody; other numbers in each tenant."""

    def __len__(self) -> int:
        """How many stubs there are."""
        return len(self.span)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> StubColumns:
        """Return some of the rows (of a slice: views)."""
        return StubColumns(*(getattr(self, name)[rows] for name in _COLUMNS))

    @classmethod
    def joined(cls, parts: list[StubColumns]) -> StubColumns:
        """Return the rows of all parts (of none: no rows)."""
        if not parts:
            return cls(*(np.zeros(0, dtype=dtype) for dtype in _COLUMNS.values()))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))


@dataclass(slots=True)
class StubBlock:
    """Stubs of one tenant for one stub partition: all there are from ``first_offset`` to ``last_offset``.

    A single record with too many spans is cut into numbered parts (``part`` > 0).
    """

    tenant: str
    source: str
    first_offset: int
    last_offset: int
    part: int
    driven: bool
    columns: StubColumns
    names: list[str]

    def encode(self) -> bytes:
        """Return the record's value."""
        head = [self.tenant, self.source, self.first_offset, self.last_offset, self.part, self.driven, self.names]
        records = runs_in(self.columns.offset, np.arange(len(self.columns)))
        columns = [
            (getattr(self.columns, name)[records.starts] if name in _BY_RECORD else getattr(self.columns, name))
            .astype(dtype)
            .tobytes()
            for name, dtype in _COLUMNS.items()
            if name != _SPARSE or self.columns.person.any()
        ]
        return bytes(msgpack.packb([FORMAT, *head, records.counts.astype("<i8").tobytes(), *columns]))


def decode_stubs(value: bytes) -> StubBlock:
    """Read a record's value; raises `BadPayload` for anything else."""
    try:
        _, tenant, source, first, last, part, driven, names, counts, *raws = msgpack.unpackb(value)
        by_record = np.frombuffer(counts, dtype="<i8")
        if len(raws) == len(_COLUMNS) - 1:
            raws.append(bytes(8 * int(by_record.sum())))
        columns = StubColumns(
            *(
                np.repeat(np.frombuffer(raw, dtype=dtype), by_record)
                if name in _BY_RECORD
                else np.frombuffer(raw, dtype=dtype)
                for raw, (name, dtype) in zip(raws, _COLUMNS.items(), strict=True)
            )
        )
        _check(columns, len(names))
        return StubBlock(str(tenant), str(source), int(first), int(last), int(part), bool(driven), columns, names)
    except Exception as error:
        raise BadPayload(RejectReason.DECODE, f"not a stub block: {type(error).__name__}") from None


def _check(columns: StubColumns, names: int) -> None:
    if len({len(getattr(columns, name)) for name in _COLUMNS}) != 1:
        raise ValueError("columns of different lengths")
    for indices in (columns.service, columns.operation, columns.peer):
        if len(indices) and not (indices.min() >= -1 and indices.max() < names):
            raise ValueError("an index beyond the names")


def stubs_of(tenant: str, batch: Batch[SpanColumns]) -> tuple[StubColumns, list[str]]:
    """Make stubs of the spans of some messages, and one list of names for them.

    Spans without a usable time are left out; one that ends before it starts becomes 0 long.
    """
    parts = batch.columns
    vocabulary = Vocabulary([part.names for part in parts])
    sizes = [len(part) for part in parts]

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    hashes, end_ns = hashes_of(tenant, *map(joined, ("trace_hi", "trace_lo", "span_id", "parent_id"))), joined("end_ns")
    stubs = StubColumns(
        **hashes._asdict(),
        start_ns=np.minimum(joined("start_ns"), end_ns),
        end_ns=end_ns,
        arrival_ns=batch.each(batch.arrivals_ns),
        offset=batch.each(batch.offsets),
        service=vocabulary.look_up(joined("service"), sizes),
        operation=vocabulary.look_up(joined("operation"), sizes),
        peer=vocabulary.look_up(joined("peer"), sizes),
        peer_kind=joined("peer_kind"),
        kind=joined("kind"),
        error=joined("error").astype(np.uint8),
        person=_people(tenant, joined("person")),
    )
    clamped = (joined("flags") & SpanFlag.CLAMPED) != 0
    return (stubs.take(~clamped) if clamped.any() else stubs), vocabulary.texts


def _people(tenant: str, person: Hashes) -> Hashes:
    """Return hashes that are a tenant's own, so that nobody can be followed from one to another; 0 stays."""
    if not person.any():
        return person
    return np.where(person == 0, person, mix(person ^ np.uint64(tenant_salt(tenant))))


class Coverage:
    """Which stretches of which sources have been taken, so that what is sent again is not taken again."""

    def __init__(self) -> None:
        self._stretches: OrderedDict[tuple[str, str, int], list[tuple[int, int]]] = OrderedDict()

    def take(self, block: StubBlock) -> NDArray[np.bool_]:
        """Return which rows of a block are new, and remember its stretch."""
        key = (block.source, block.tenant, block.part)
        stretches = self._stretches.pop(key, [])
        fresh = np.ones(len(block.columns), dtype=np.bool_)
        for first, last in stretches:
            fresh &= (block.columns.offset < first) | (block.columns.offset > last)
        self._stretches[key] = _insert(stretches, (block.first_offset, block.last_offset))[-_MAX_STRETCHES:]
        if len(self._stretches) > _MAX_SOURCES:
            self._stretches.popitem(last=False)
        return fresh

    def stretches(self, source: str, tenant: str) -> list[tuple[int, int]]:
        """Return what has been taken of a source: (first, last) offsets, ascending, disjoint."""
        return list(self._stretches.get((source, tenant, 0), []))


def _insert(stretches: list[tuple[int, int]], new: tuple[int, int]) -> list[tuple[int, int]]:
    """Add a stretch of offsets to disjoint ascending ones, merging what touches."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted([*stretches, new]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
