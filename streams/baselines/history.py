"""Trailing panes of many series side by side: columns are panes (oldest first), rows are series.

All series share the columns, so that what judges a pane is one cut through the table. Nothing that was learned is
changed in place: an `Erasure` says which columns of a series count no more, and from which pane on. A pane that is
judged again, after a crash or as a revision, is therefore judged by what was known before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float32]
Instants = NDArray[np.int64]
_SPARE = 64
"""Columns added at once: appending a pane moves nothing."""


class Erasure(NamedTuple):
    """Columns of a series in [first_ns, end_ns) that do not count for panes after `by_ns`, which took them back."""

    by_ns: int
    name: str
    first_ns: int
    end_ns: int


class Table:
    """The rows of one sort of series: two numbers a pane, or `nothing` where there was none."""

    def __init__(self, nothing: float, names: Iterable[str] = (), cells: Cells | None = None) -> None:
        self.nothing = nothing
        self.rows = {name: row for row, name in enumerate(names)}
        self.cells: Cells = np.zeros((0, 2, 0), np.float32) if cells is None else cells

    def take(self, names: Sequence[str], first: int, end: int) -> Cells:
        """Return a copy (names x 2 x columns) of some columns; of an unknown series, nothing."""
        found = np.array([self.rows.get(name, -1) for name in names], dtype=np.int64)
        if not self.rows:
            return np.full((len(names), 2, end - first), self.nothing, np.float32)
        taken = self.cells[found, :, first:end]
        taken[found < 0] = self.nothing
        return taken

    def row(self, name: str) -> int:
        """Return the row of a series, a new one if there is none."""
        if name not in self.rows:
            self.rows[name] = len(self.rows)
            if len(self.rows) > len(self.cells):
                more = np.full((max(8, len(self.cells)), *self.cells.shape[1:]), self.nothing, np.float32)
                self.cells = np.concatenate((self.cells, more))
        return self.rows[name]

    def keep(self, names: Sequence[str]) -> None:
        """Drop all other series."""
        self.cells = self.cells[[self.rows[name] for name in names]]
        self.rows = {name: row for row, name in enumerate(names)}

    def widen(self, columns: int) -> None:
        """Make room for so many columns."""
        more = np.full((*self.cells.shape[:2], columns - self.cells.shape[2]), self.nothing, np.float32)
        self.cells = np.concatenate((self.cells, more), axis=2)

    def shift(self, column: int, by: int) -> None:
        """Move the columns from here on to the right (positive: the gap is empty) or the left (the first are lost)."""
        if by > 0:
            self.cells[:, :, column + by :] = self.cells[:, :, column:-by].copy()
            self.cells[:, :, column : column + by] = self.nothing
        else:
            self.cells[:, :, :by] = self.cells[:, :, -by:].copy()
            self.cells[:, :, by:] = self.nothing


class History:
    """The panes with their requests, and the tables of levels (p50, p95; NaN = nothing) and ratios (hits, trials)."""

    def __init__(self) -> None:
        self.width = 0
        self.pane_ns: Instants = np.zeros(0, np.int64)
        self.requests: Cells = np.zeros(0, np.float32)
        self.levels = Table(np.nan)
        self.ratios = Table(0.0)
        self.erasures: list[Erasure] = []

    # -- reading -------------------------------------------------------------------------------------------

    def columns_before(self, instant_ns: int) -> int:
        """Return how many columns lie before this instant."""
        return int(self.pane_ns[: self.width].searchsorted(instant_ns))

    def past(self, table: Table, names: Sequence[str], pane_ns: int, most: int) -> Cells:
        """Return (names x 2 x columns) what counted of these series just before a pane: its last `most` columns."""
        end = self.columns_before(pane_ns)
        first = max(0, end - most)
        block = table.take(names, first, end)
        if self.erasures:
            place = {name: row for row, name in enumerate(names)}
            for erasure in self._before(pane_ns):
                if erasure.name in place:
                    cut = self._cut(erasure, first, end)
                    block[place[erasure.name], :, cut] = table.nothing
        return block

    def traffic_before(self, pane_ns: int, most: int) -> Cells:
        """Return the requests of the last `most` panes before this one, by the columns of `past`; NaN = unknown."""
        end = self.columns_before(pane_ns)
        return self.requests[max(0, end - most) : end]

    def past_requests(self, name: str, pane_ns: int, most: int) -> Cells:
        """Return the requests of the last `most` panes before this one that count; `name` is the rate's series."""
        end = self.columns_before(pane_ns)
        first = max(0, end - most)
        counts = self.requests[first:end].copy()
        for erasure in self._before(pane_ns):
            if erasure.name == name:
                counts[self._cut(erasure, first, end)] = np.nan
        return counts[~np.isnan(counts)]

    def counted(self, name: str, rate: str, pane_ns: int, most: int) -> Cells:
        """Return (3 x columns) what counted of a series before a pane, and the requests; of the `rate` these alone."""
        requests = self.traffic_before(pane_ns, most)
        if name == rate:
            counts = self.past_requests(name, pane_ns, most)
            return np.stack([counts, np.ones_like(counts), counts])
        table = self.levels if name in self.levels.rows else self.ratios
        return np.concatenate([self.past(table, [name], pane_ns, most)[0], requests[None]])

    def put_ratio(self, pane_ns: int, name: str, hits: float, trials: float) -> None:
        """Write the cell of one ratio in a pane that was written."""
        row, column = self.ratios.row(name), self.columns_before(pane_ns)
        self.ratios.cells[row, :, column] = hits, trials

    def _before(self, pane_ns: int) -> Iterable[Erasure]:
        return (erasure for erasure in self.erasures if erasure.by_ns < pane_ns)

    def _cut(self, erasure: Erasure, first: int, end: int) -> slice:
        start = min(max(self.columns_before(erasure.first_ns), first), end)
        stop = min(max(self.columns_before(erasure.end_ns), start), end)
        return slice(start - first, stop - first)

    # -- writing -------------------------------------------------------------------------------------------

    def write(
        self, pane_ns: int, requests: float, levels: Mapping[str, Sequence[float]], ratios: Mapping[str, Sequence[int]]
    ) -> None:
        """Write a pane's column, in place of the one it had."""
        column = self._column(pane_ns)
        self.requests[column] = requests
        for table, measured in ((self.levels, levels), (self.ratios, ratios)):
            rows = [table.row(name) for name in measured]  # may make room, so it comes first
            table.cells[:, :, column] = table.nothing
            if rows:
                table.cells[rows, :, column] = list(measured.values())

    def erase(self, erasure: Erasure) -> None:
        """Let columns of a series count no more for later panes."""
        if erasure.first_ns < erasure.end_ns and erasure not in self.erasures:
            self.erasures.append(erasure)

    def forget_erasures_of(self, pane_ns: int) -> None:
        """Drop what a pane took back: it is judged anew."""
        self.erasures = [erasure for erasure in self.erasures if erasure.by_ns != pane_ns]

    def settle(self, oldest_ns: int, rate: str) -> None:
        """Carry out what was taken back by panes that cannot come again: those up to `oldest_ns`."""
        for erasure in [one for one in self.erasures if one.by_ns <= oldest_ns]:
            self.erasures.remove(erasure)
            cut = self._cut(erasure, 0, self.width)
            for table in (self.levels, self.ratios):
                if erasure.name in table.rows:
                    table.cells[table.rows[erasure.name], :, cut] = table.nothing
            if erasure.name == rate:
                self.requests[cut] = np.nan

    def trim(self, most: int, max_levels: int, max_ratios: int) -> None:
        """Keep the last `most` columns; of too many series those that were measured last."""
        if self.width > most:
            self._drop_columns(self.width - most)
        for table, most_rows in ((self.levels, max_levels), (self.ratios, max_ratios)):
            if len(table.rows) > most_rows:
                table.keep(self._latest(table, most_rows))

    def _column(self, pane_ns: int) -> int:
        index = self.columns_before(pane_ns)
        if index < self.width and self.pane_ns[index] == pane_ns:
            return index
        if self.width == len(self.pane_ns):
            self._widen()
        if index < self.width:
            self.pane_ns[index + 1 : self.width + 1] = self.pane_ns[index : self.width].copy()
            self.requests[index + 1 : self.width + 1] = self.requests[index : self.width].copy()
            for table in (self.levels, self.ratios):
                table.shift(index, 1)
        self.pane_ns[index] = pane_ns
        self.width += 1
        return index

    def _widen(self) -> None:
        columns = self.width + _SPARE
        self.pane_ns = np.concatenate((self.pane_ns, np.zeros(_SPARE, np.int64)))
        self.requests = np.concatenate((self.requests, np.zeros(_SPARE, np.float32)))
        for table in (self.levels, self.ratios):
            table.widen(columns)

    def _drop_columns(self, excess: int) -> None:
        self.pane_ns[:-excess] = self.pane_ns[excess:].copy()
        self.requests[:-excess] = self.requests[excess:].copy()
        for table in (self.levels, self.ratios):
            table.shift(0, -excess)
        self.width -= excess

    def _latest(self, table: Table, most: int) -> list[str]:
        """Return the series that were measured last, sorted by name; of several the ones measured more often."""
        measured = table.cells[:, 1, : self.width]
        known = ~np.isnan(measured) if np.isnan(table.nothing) else measured > 0
        last = np.where(known.any(axis=1), self.width - np.argmax(known[:, ::-1], axis=1), 0)
        counts = known.sum(axis=1)
        names = sorted(table.rows, key=lambda name: (-last[table.rows[name]], -counts[table.rows[name]], name))
        return sorted(names[:most])

    # -- keeping -------------------------------------------------------------------------------------------

    def packed(self) -> dict[str, Any]:
        """As kept in the state."""
        body: dict[str, Any] = {
            "p": self.pane_ns[: self.width].tolist(),
            "n": self.requests[: self.width].tobytes(),
            "e": [list(erasure) for erasure in self.erasures],
        }
        for key, table in (("l", self.levels), ("r", self.ratios)):
            names = list(table.rows)
            body[key] = [names, table.cells[: len(names), :, : self.width].tobytes()]
        return body

    @staticmethod
    def unpacked(body: Mapping[str, Any]) -> History:
        """Read `packed` back."""
        history = History()
        history.pane_ns = np.array(body["p"], np.int64)
        history.width = len(history.pane_ns)
        history.requests = np.frombuffer(body["n"], np.float32).copy()
        history.erasures = [Erasure(*one) for one in body["e"]]
        for key, nothing in (("l", np.nan), ("r", 0.0)):
            names, raw = body[key]
            cells = np.frombuffer(raw, np.float32).reshape(len(names), 2, history.width).copy()
            setattr(history, "levels" if key == "l" else "ratios", Table(nothing, names, cells))
        return history
