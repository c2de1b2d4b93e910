"""Tally a batch of decoded messages: columns in, one `Delta` per pane and service out."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.batch import Batch
from streams.contents import (
    ENTRY_KINDS,
    SEVERITIES,
    OperationTally,
    PaneContents,
    PartTally,
    Sample,
    Samples,
    first_by_id,
    slowest,
)
from streams.grouping import Groups, Ints, groups_of, pack, runs_in
from streams.latency import bin_of, sketches_of
from streams.otlp.columns import LogColumns, SpanColumns, SpanFlag
from streams.parts import Requests, tally_parts
from streams.signatures.tally import SignedTable
from streams.vocabulary import Vocabulary

_WARN, _ERROR = SEVERITIES.index("warn"), SEVERITIES.index("error")
_NO_BIN = (1 << 13) - 1
"""Stands for a duration that is in no sketch; no finite float32 falls there."""

_OPERATION = 2 * (_NO_BIN + 1)
"""Keys of the cells of one operation are equal when divided by this."""

_KINDS = 6
_SAMPLED = 2
_SPAN_ARRAYS = (
    "service", "operation", "instance", "version", "kind", "error", "start_ns", "end_ns", "flags", "trace_hi",
    "trace_lo", "arrival_ns", "offset", "tier",
)  # fmt: skip
_IS_ENTRY = np.isin(np.arange(_KINDS), ENTRY_KINDS)


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
        self.instance = names.look_up(np.concatenate([part.instance for part in parts]), counts)
        self.version = names.look_up(np.concatenate([part.version for part in parts]), counts)
        self.kind = np.concatenate([part.kind for part in parts])
        self.error = np.concatenate([part.error for part in parts])
        self.start_ns = np.concatenate([part.start_ns for part in parts])
        self.end_ns = np.concatenate([part.end_ns for part in parts])
        self.flags = np.concatenate([part.flags for part in parts])
        self.trace_hi = np.concatenate([part.trace_hi for part in parts])
        self.trace_lo = np.concatenate([part.trace_lo for part in parts])
        self.tier = np.concatenate([part.tier for part in parts])
        self.signed = SignedTable([part.signed for part in parts], counts)
        self.arrival_ns = batch.each(batch.arrivals_ns)
        self.offset = batch.each(batch.offsets)

    def where(self, mask: NDArray[np.bool_]) -> SpanTable:
        """Return a table of some of the spans, without what `signed` says of them; of all: this table itself."""
        if mask.all():
            return self
        chosen = copy(self)
        for name in _SPAN_ARRAYS:
            setattr(chosen, name, getattr(self, name)[mask])
        return chosen

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
        groups = groups_of(pack((pane - first_pane, 0), (service, len(names))))
        self.number = groups.number
        self.counts = groups.counts.tolist()
        self.deltas = [
            Delta(int(pane[first]) * pane_ns, names[int(service[first])], int(offset[first]), int(offset[last]))
            for first, last in zip(groups.first.tolist(), groups.last.tolist(), strict=True)
        ]
        self._appearance = np.argsort(groups.first).tolist()

    def by_appearance(self) -> list[Delta]:
        """Return the deltas in the order in which their first rows are in the log."""
        return [self.deltas[number] for number in self._appearance]


def tally_spans(table: SpanTable, live: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Tally the live spans; deltas, and operations in them, come in order of first appearance in the log."""
    table = table.where(live)
    if not len(table.kind):
        return []
    homes = _Homes(table.end_ns, table.service, table.offset, table.names, pane_ns)
    duration_ns = table.end_ns - table.start_ns
    latency_bin = bin_of(duration_ns)
    keys = pack(
        (homes.number, 0),
        (table.operation, len(table.names)),
        (table.kind, _KINDS),
        (np.where(table.negative, _NO_BIN, latency_bin), _NO_BIN + 1),
        (table.error, 2),
    )
    cells = groups_of(keys)
    _count(homes, table.names, keys[cells.first], cells)
    entry = np.flatnonzero(_IS_ENTRY[table.kind])
    _count_parts(homes, table, entry, latency_bin)
    _sample(table, entry, homes, np.maximum(duration_ns, 0))
    _note_tiers(table, homes)
    return homes.by_appearance()


def _note_tiers(table: SpanTable, homes: _Homes) -> None:
    """Give each home the highest tier that its spans claim."""
    if not table.tier.any():
        return
    highest = np.zeros(len(homes.deltas), dtype=np.uint8)
    np.maximum.at(highest, homes.number, table.tier)
    for delta, tier in zip(homes.deltas, highest.tolist(), strict=True):
        delta.contents.tier = tier


def _count(homes: _Homes, names: list[str], keys: Ints, cells: Groups) -> None:
    """Add cells, each with its key, to the operations of their homes; operations come in order of first appearance.

    So caps admit the first comers, however the log is cut in batches.
    """
    starts = runs_in(keys // _OPERATION, keys).starts
    requests, errors = np.add.reduceat(cells.counts, starts), np.add.reduceat(cells.counts * (keys % 2), starts)
    rest, kind = np.divmod(keys[starts] // _OPERATION, _KINDS)
    home, operation = np.divmod(rest, len(names))
    latencies = sketches_of(keys // 2, cells.counts, _NO_BIN + 1)
    for latency in latencies:
        latency.pop(_NO_BIN, None)
    found = list(
        zip(*(column.tolist() for column in (home, operation, kind, requests, errors)), latencies, strict=True)
    )
    for number in np.argsort(np.minimum.reduceat(cells.first, starts)).tolist():
        place, name, of_kind, *counts = found[number]
        operations, key, tally = (
            homes.deltas[place].contents.operations,
            (names[name], of_kind),
            OperationTally(*counts),
        )
        if key in operations:  # a text that is in the names twice
            operations[key].add(tally)
        else:
            operations[key] = tally


def _count_parts(homes: _Homes, table: SpanTable, entry: Ints, latency_bin: NDArray[np.int32]) -> None:
    """Add the requests of each instance and of each version, which are the entry spans, to its home."""
    home, bins, error = homes.number[entry], latency_bin[entry], table.error[entry]
    for name, part in (("instances", table.instance), ("versions", table.version)):
        for number, text, tally in tally_parts(Requests(home, part[entry], bins, error), table.names):
            getattr(homes.deltas[number].contents, name).setdefault(text, PartTally()).add(tally)


def tally_logs(table: LogTable, live: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Count the live log records by severity; deltas come in order of first appearance in the log."""
    rows = np.flatnonzero(live)
    if not len(rows):
        return []
    homes = _Homes(table.time_ns[rows], table.service[rows], table.offset[rows], table.names, pane_ns)
    keys = pack((homes.number, 0), (table.severity[rows], len(SEVERITIES)))
    cells = groups_of(keys)
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


def tally_exceptions(table: SpanTable, live: NDArray[np.bool_], pane_ns: int) -> list[Delta]:
    """Count the exceptions that live spans tell of by shape, in the pane of their span.

    As grave as their span: a warning where it did not fail. Deltas come in order of first appearance in the log.
    """
    chosen = np.flatnonzero(live[table.signed.row])
    if not len(chosen):
        return []
    rows = table.signed.row[chosen]
    homes = _Homes(table.end_ns[rows], table.service[rows], table.offset[rows], table.names, pane_ns)
    contents = [delta.contents for delta in homes.deltas]
    severity = np.where(table.error[rows], _ERROR, _WARN).astype(np.uint8)
    table.signed.tally(chosen, homes.number, table.end_ns[rows], severity, contents, in_spans=True)
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


def _sample(table: SpanTable, entry: Ints, homes: _Homes, duration_ns: Ints) -> None:
    """Choose exemplars among the entry spans of each home."""
    home, duration_ns = homes.number[entry], duration_ns[entry]
    hi, lo, error = table.trace_hi[entry], table.trace_lo[entry], table.error[entry]
    slow = _slow(home, len(homes.deltas), duration_ns, hi, lo)
    by_duration = slow[np.lexsort((lo[slow], hi[slow], -duration_ns[slow], home[slow]))]
    for run in _runs(home, by_duration):
        homes.deltas[int(home[run[0]])].contents.samples.slow = slowest(_heads(run, duration_ns, hi, lo))
    low = np.flatnonzero(error | _has_lowest(home, len(homes.deltas), hi, ~error))
    by_id = low[np.lexsort((-duration_ns[low], lo[low], hi[low], error[low], home[low]))]
    for run in _runs(home * 2 + error, by_id):
        samples: Samples = homes.deltas[int(home[run[0]])].contents.samples
        if error[run[0]]:
            samples.failing = first_by_id(_heads(run, duration_ns, hi, lo), _SAMPLED)
        else:
            samples.normal = first_by_id(_heads(run, duration_ns, hi, lo), 1)


def _slow(home: Ints, homes: int, duration_ns: Ints, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> Ints:
    """Return the rows that can be among the slowest of their home: sorting all rows to keep two of them is dear."""
    left_ns, chosen = duration_ns.copy(), np.zeros(len(home), dtype=np.bool_)
    for _ in range(_SAMPLED):
        longest_ns = np.zeros(homes, dtype=np.int64)
        np.maximum.at(longest_ns, home, left_ns)
        best = np.flatnonzero(left_ns == longest_ns[home])
        chosen[best] = True
        first = best[np.lexsort((lo[best], hi[best], home[best]))][::-1]
        winner = np.zeros(homes, dtype=np.int64)
        winner[home[first]] = first  # of several rows of a home the last one stays, which has the smallest id
        of_home = winner[home]
        left_ns[(hi == hi[of_home]) & (lo == lo[of_home])] = -1
    return np.flatnonzero(chosen)


def _has_lowest(home: Ints, homes: int, hi: NDArray[np.uint64], wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the wanted rows have the smallest first half of a trace id in their home."""
    lowest = np.full(homes, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(lowest, home[wanted], hi[wanted])
    mask: NDArray[np.bool_] = wanted & (hi == lowest[home])
    return mask


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
