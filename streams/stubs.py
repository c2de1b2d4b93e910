"""Span stubs: what is left of a span when only its place in a trace, its times and its names matter.

Spans of one trace may come over any source partition. The stubs of all of them go to one partition of
``telemetry.stubs``, chosen by trace id, where edges are paired and self times are measured.

A block says which stretch of its source's offsets it covers, so a stretch that is sent again after a crash is
recognised (`Coverage`) although the blocks may be cut differently the second time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from schemas.losses import LossReason
from streams.batch import Batch, Messages
from streams.grouping import runs_in, runs_of
from streams.mixing import mix
from streams.operation_names import normalise_operations
from streams.otlp.columns import SpanColumns
from streams.stub_blocks import Coverage, StubBlock, StubColumns, decode_stubs, stubs_of
from streams.vocabulary import used_names
from streams.windows import Loss, LossLedger, WindowConfig

__all__ = ["Coverage", "StubBlock", "StubColumns", "StubFold", "StubRecord", "decode_stubs", "stubs_of"]

MAX_BLOCK_SPANS = 10_000
"""Spans of one record: about 0.6 MB, below Kafka's usual limit of 1 MiB with names of normal length."""

_MAX_CLAIMS = 10_000
"""Whose claim is forgotten (longest silent) claims anew from its next span on; no span depends on it."""


class StubRecord(NamedTuple):
    """A record to send to this partition of ``telemetry.stubs``."""

    partition: int
    key: bytes
    value: bytes


@dataclass(slots=True)
class _Waiting:
    """Spans of one tenant that wait for the flush."""

    driven: bool = False
    batch: Batch[SpanColumns] = field(default_factory=Batch)


class StubFold:
    """Turns the spans of one source partition into blocks for the stub partitions."""

    def __init__(self, source: str, partitions: int, config: WindowConfig) -> None:
        self.source = source
        self.pending_spans = 0
        """Flush when this is large (it also sets the size of the records)."""
        self._partitions = partitions
        self._config = config
        self._waiting: dict[str, _Waiting] = {}
        self._first_offset: int | None = None
        self._last_offset = -1
        self._claimed: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._losses = LossLedger()

    def step(self, tenant: str, columns: SpanColumns, arrival_ns: int, offset: int, driven: bool = False) -> None:
        """Take the spans of one record. Offsets must ascend."""
        self.take(tenant, columns, Messages.one(len(columns), arrival_ns, offset), driven)

    def take(self, tenant: str, columns: SpanColumns, messages: Messages, driven: bool = False) -> None:
        """Take the spans of several records of one tenant; records of other tenants may lie between them."""
        self._last_offset = max(self._last_offset, *messages.offsets)
        if not len(columns):
            return
        if self._config.normalises_operations:
            normalise_operations(columns)
        if tenant not in self._waiting and len(self._waiting) >= self._config.max_tenants:
            self._losses.add(tenant, LossReason.TENANT_OVERFLOW, len(columns))
            return
        waiting = self._waiting.setdefault(tenant, _Waiting())
        waiting.driven |= driven
        waiting.batch.add(columns, messages)
        self.pending_spans += len(columns)
        first_offset = messages.offsets[0]
        self._first_offset = first_offset if self._first_offset is None else min(self._first_offset, first_offset)

    def flush(self) -> list[StubRecord]:
        """Return the records to send; the floor may pass `lowest_needed_offset` only once they are confirmed."""
        records = [
            StubRecord(partition, f"{tenant}|{partition}".encode(), block.encode())
            for tenant, waiting in self._waiting.items()
            for partition, block in self._blocks(tenant, waiting)
        ]
        self._waiting.clear()
        self._first_offset, self.pending_spans = None, 0
        return records

    def lowest_needed_offset(self) -> int | None:
        """Return the first offset whose stubs have not been flushed; ``None`` if all have."""
        return self._first_offset

    def drain_losses(self) -> list[Loss]:
        """Return what was not taken since the last drain."""
        return self._losses.drain()

    def _blocks(self, tenant: str, waiting: _Waiting) -> Iterator[tuple[int, StubBlock]]:
        stubs, names = stubs_of(tenant, waiting.batch)
        partition_of = (mix(stubs.trace) % np.uint64(self._partitions)).astype(np.int64)
        by_partition = runs_of(partition_of)
        for start, end in zip(by_partition.starts.tolist(), by_partition.ends.tolist(), strict=True):
            rows = by_partition.order[start:end]
            partition = int(partition_of[rows[0]])
            first_offset = self._claim(tenant, partition, int(stubs.offset[rows[0]]))
            for piece in _cut(stubs.take(rows), first_offset, self._last_offset):
                yield partition, self._block(tenant, waiting.driven, piece, names)

    def _block(self, tenant: str, driven: bool, piece: _Piece, names: list[str]) -> StubBlock:
        rows = piece.rows
        own_names, (rows.service, rows.operation, rows.peer) = used_names(
            names, rows.service, rows.operation, rows.peer
        )
        return StubBlock(
            tenant, self.source, piece.first_offset, piece.last_offset, piece.part, driven, rows, own_names
        )

    def _claim(self, tenant: str, partition: int, first_offset: int) -> int:
        """Return where the last block for this partition ended, plus one; claim up to the last offset seen."""
        claimed = self._claimed.pop((tenant, partition), first_offset - 1)
        self._claimed[tenant, partition] = self._last_offset
        if len(self._claimed) > _MAX_CLAIMS:
            self._claimed.popitem(last=False)
        return claimed + 1


class _Piece(NamedTuple):
    part: int
    first_offset: int
    last_offset: int
    rows: StubColumns


def _cut(stubs: StubColumns, first_offset: int, last_offset: int) -> Iterator[_Piece]:
    """Cut rows, ordered by offset, at record boundaries, and a record that is too large by itself into parts."""
    records = runs_in(stubs.offset, np.arange(len(stubs)))
    begin = 0
    for start, end in zip(records.starts.tolist(), records.ends.tolist(), strict=True):
        if end - begin <= MAX_BLOCK_SPANS:
            continue
        offset = int(stubs.offset[start])
        if begin < start:
            yield _Piece(0, first_offset, offset - 1, stubs.take(slice(begin, start)))
            first_offset, begin = offset, start
        if end - start > MAX_BLOCK_SPANS:
            for part, at in enumerate(range(start, end, MAX_BLOCK_SPANS)):
                rows = stubs.take(slice(at, min(at + MAX_BLOCK_SPANS, end)))
                yield _Piece(part, offset if part else first_offset, offset, rows)
            first_offset, begin = offset + 1, end
    if first_offset <= last_offset:
        yield _Piece(0, first_offset, last_offset, stubs.take(slice(begin, len(stubs))))
