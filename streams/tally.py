"""Tally a batch of decoded messages: columns in, one `Delta` per pane and service out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.batch import Batch
from streams.grouping import Ints, pack, runs_in, runs_of
from streams.latency import bin_of
from streams.otlp.columns import LogColumns, SpanColumns, SpanFlag
from streams.partials import (
    ENTRY_KINDS,
    SEVERITIES,
    OperationTally,
    PaneContents,
    Sample,
    Samples,
    first_by_id,
    slowest,
)
from streams.signatures.tally import SignedTable
from streams.vocabulary import Vocabulary

_NO_BIN = (1 << 13) - 1
"""Stands for a duration that is in no sketch; no finite float32 falls there."""

_KINDS = 6
_SAMPLED = 2


@dataclass(slots=True)
class Delta:
    """What a batch adds to one pane of one service, and the source offsets it comes from."""

    pane_start_ns: int
    service: str
    first_offset: int
    last_offset: int
    contents: PaneContents = field(default_factory=PaneContents)


class SpanTable:
    """A batch of spans as single arrays with one list of names."""

    def __init__(self, batch: Batch[SpanColumns]) -> None:
        parts = batch.columns
        names = Vocabulary([part.names for part in parts])
        counts = [len(part) for part in parts]
        self.names = names.texts
        self.service = names.look_up(np.concatenate([part.service for part in parts]), counts)
        self.operation = names.look_up(np.concatenate([part.operation for part in parts]), counts)
        self.kind = np.concatenate([part.kind for part in parts])
        self.error = np.concatenate([part.error for part in parts])
        self.start_ns = np.concatenate([part.start_ns for part in parts])
        self.end_ns = np.concatenate([part.end_ns for part in parts])
        self.flags = np.concatenate([part.flags for part in parts])
        self.trace_hi = np.concatenate([part.trace_hi for part in parts])
        self.trace_lo = np.concatenate([part.trace_lo for part in parts])
        self.arrival_ns = batch.each(batch.arrivals_ns)
        self.offset = batch.each(batch.offsets)

    @property
    def clamped(self) -> NDArray[np.bool_]:
        """The spans without a usable time."""
        mask: NDArray[np.bool_] = (self.flags & SpanFlag.CLAMPED) != 0
        return mask

    @property
    def negative(self) -> NDArray[np.bool_]:
        """The spans that end before they start."""
        mask: NDArray[np.bool_] = (self.flags & SpanFlag.NEGATIVE) != 0
        return mask


class LogTable:
    """A batch of log records as single arrays with one list of names."""

    def __init__(self, batch: Batch[LogColumns]) -> None:
        parts = batch.columns
        names = Vocabulary([part.names for part in parts])
        self.names = names.texts
        counts = [len(part) for part in parts]
        self.service = names.look_up(np.concatenate([part.service for part in parts]), counts)
        self.severity = np.concatenate([part.severity for part in parts])
        self.time_ns = np.concatenate([part.time_ns for part in parts])
        self.signed = SignedTable([part.signed for part in parts], counts)
        self.arrival_ns = batch.each(batch.arrivals_ns)
        self.offset = batch.each(batch.offsets)


class _Homes:
    """Where rows belong: dense numbers of (pane, service), in ascending order, and a delta for each."""

    def __init__(self, instant_ns: Ints, service: Ints, offset: Ints, names: list[str], pane_ns: int) -> None:
        pane = instant_ns // pane_ns
        first_pane = int(pane.min())
        runs = runs_of(pack((pane - first_pane, 0), (service, len(names))))
        self.number = runs.number
        self.counts = runs.counts.tolist()
        self.deltas = [
            Delta(int(pane[first]) * pane_ns, names[int(service[first])], int(offset[first]), int(offset[last]))
            for first, last in zip(runs.first.tolist(), runs.last.tolist(), strict=True)
        ]
        self._appearance = np.argsort(runs.first).tolist()

    def by_appearance(self) -> list[Delta]:
        """Return the deltas in the order in which their first rows are in the log."""
        return [self.deltas[number] for number in self._appearance]


def tally_spans(table: SpanTable, live: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Tally the live spans; deltas, and operations in them, come in order of first appearance in the log."""
    rows = np.flatnonzero(live)
    if not len(rows):
        return []
    homes = _Homes(table.end_ns[rows], table.service[rows], table.offset[rows], table.names, pane_ns)
    duration_ns = table.end_ns[rows] - table.start_ns[rows]
    keys = pack(
        (homes.number, 0),
        (table.operation[rows], len(table.names)),
        (table.kind[rows], _KINDS),
        (np.where(table.negative[rows], _NO_BIN, bin_of(duration_ns)), _NO_BIN + 1),
        (table.error[rows], 2),
    )
    cells = runs_of(keys)
    appearance = np.argsort(cells.first)  # so that caps admit the first comers, however the log is cut in batches
    for key, count in zip(keys[cells.first][appearance].tolist(), cells.counts[appearance].tolist(), strict=True):
        rest, error = divmod(key, 2)
        rest, latency_bin = divmod(rest, _NO_BIN + 1)
        rest, kind = divmod(rest, _KINDS)
        home, operation = divmod(rest, len(table.names))
        _count(homes.deltas[home].contents, (table.names[operation], kind), count, error, latency_bin)
    _sample(table, rows, homes, np.maximum(duration_ns, 0))
    return homes.by_appearance()


def _count(contents: PaneContents, operation: tuple[str, int], count: int, error: int, latency_bin: int) -> None:
    tally = contents.operations.get(operation)
    if tally is None:
        tally = contents.operations[operation] = OperationTally()
    tally.requests += count
    tally.errors += count * error
    if latency_bin != _NO_BIN:
        tally.latency[latency_bin] = tally.latency.get(latency_bin, 0) + count


def tally_logs(table: LogTable, live: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Count the live log records by severity; deltas come in order of first appearance in the log."""
    rows = np.flatnonzero(live)
    if not len(rows):
        return []
    homes = _Homes(table.time_ns[rows], table.service[rows], table.offset[rows], table.names, pane_ns)
    keys = pack((homes.number, 0), (table.severity[rows], len(SEVERITIES)))
    cells = runs_of(keys)
    for key, count in zip(keys[cells.first].tolist(), cells.counts.tolist(), strict=True):
        home, severity = divmod(key, len(SEVERITIES))
        homes.deltas[home].contents.log_severities[SEVERITIES[severity]] = count
    return homes.by_appearance()


def tally_signatures(table: LogTable, live: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Count the lines of live log records by shape; deltas come in order of first appearance in the log."""
    chosen = np.flatnonzero(live[table.signed.row])
    if not len(chosen):
        return []
    rows = table.signed.row[chosen]
    homes = _Homes(table.time_ns[rows], table.service[rows], table.offset[rows], table.names, pane_ns)
    contents = [delta.contents for delta in homes.deltas]
    table.signed.tally(chosen, homes.number, table.time_ns[rows], table.severity[rows], contents)
    return homes.by_appearance()


def tally_late(table: SpanTable | LogTable, late: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Count late items by service; they are booked on the pane in which they arrived."""
    rows = np.flatnonzero(late)
    if not len(rows):
        return []
    homes = _Homes(table.arrival_ns[rows], table.service[rows], table.offset[rows], table.names, pane_ns)
    for delta, count in zip(homes.deltas, homes.counts, strict=True):
        delta.contents.late_items = count
    return homes.by_appearance()


def _sample(table: SpanTable, rows: Ints, homes: _Homes, duration_ns: Ints) -> None:
    """Choose exemplars among the entry spans of each home."""
    entry = np.flatnonzero(np.isin(table.kind[rows], ENTRY_KINDS))
    home, duration_ns, rows = homes.number[entry], duration_ns[entry], rows[entry]
    hi, lo, error = table.trace_hi[rows], table.trace_lo[rows], table.error[rows]
    by_duration = np.lexsort((lo, hi, -duration_ns, home))
    for run in _runs(home, by_duration):
        homes.deltas[int(home[run[0]])].contents.samples.slow = slowest(_heads(run, duration_ns, hi, lo))
    by_id = np.lexsort((-duration_ns, lo, hi, error, home))
    for run in _runs(home * 2 + error, by_id):
        samples: Samples = homes.deltas[int(home[run[0]])].contents.samples
        if error[run[0]]:
            samples.failing = first_by_id(_heads(run, duration_ns, hi, lo), _SAMPLED)
        else:
            samples.normal = first_by_id(_heads(run, duration_ns, hi, lo), 1)


def _runs(keys: Ints, order: Ints) -> Iterator[Ints]:
    runs = runs_in(keys[order], order)
    for start, end in zip(runs.starts.tolist(), runs.ends.tolist(), strict=True):
        yield order[start:end]


def _heads(run: Ints, duration_ns: Ints, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> list[Sample]:
    """Return the first span of each of the first few traces of an ordered run."""
    heads: dict[bytes, int] = {}
    for row in run.tolist():
        trace_id = int(hi[row]).to_bytes(8, "big") + int(lo[row]).to_bytes(8, "big")
        heads.setdefault(trace_id, int(duration_ns[row]))
        if len(heads) == _SAMPLED:
            break
    return [(duration_ns, trace_id) for trace_id, duration_ns in heads.items()]
