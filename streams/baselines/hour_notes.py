"""What is noted of each pane until its five minutes are over and go to the cells of their hour.

Notes are kept with the trailing baseline, at every pane, so they are short: a byte for each measurement, for as many
panes as a segment has and as can still be judged again. Panes under suspicion are noted like all others: whether they
are usual is for the weeks to say (see `hour_cells`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from schemas.deviations import SeriesKind
from schemas.queries import HourlySeries
from streams.baselines.hour_cells import HourCells, HourConfig, Visit
from streams.baselines.hour_codes import VALUES, Codes, encode, middle
from streams.baselines.measures import RATE_KEY, SEPARATOR, Measures, SeriesKey
from streams.slo import wilson_lower

_NS = 1_000_000_000
_RATIOS = {kind.value for kind in (SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE, SeriesKind.LOG_ERRORS)}
PER_MILLE = 1000.0
"""Ratios are kept in thousandths, so that small ones have a code."""


class HourNotes:
    """Codes of the last panes by series: levels (p50, p95), ratios (hits, trials), traffic (requests, twice)."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._panes: dict[int, bytes] = {}

    def write(self, pane_ns: int, measures: Measures, max_series: int) -> None:
        """Note a pane, in place of what was noted of it before; of no more series than that between cleanings."""
        names = [RATE_KEY, *(key.packed() for key in (*measures.levels, *measures.ratios))]
        levels = [level[:2] for level in measures.levels.values()]
        measured = [(measures.requests, measures.requests), *levels, *measures.ratios.values()]
        for name in names:
            if name not in self._names and len(self._names) < max_series:
                self._names[name] = len(self._names)
        rows = [self._names.get(name, -1) for name in names]
        codes = np.zeros((len(self._names) + 1, 2), np.uint8)  # the last for those that find no place
        codes[rows] = encode(measured)
        self._panes[pane_ns] = codes[:-1].tobytes()

    def settle(self, settled_ns: int, pane_s: int, cells: HourCells) -> None:
        """Bring the segments that are over to the cells: panes up to `settled_ns` do not come again."""
        segment_ns = cells.config.segment_s * _NS
        over = settled_ns // segment_ns
        if min(self._panes, default=settled_ns) // segment_ns >= over:
            return
        for segment in sorted({pane_ns // segment_ns for pane_ns in self._panes if pane_ns // segment_ns < over}):
            panes = [pane_ns for pane_ns in self._panes if pane_ns // segment_ns == segment]
            codes = self._table(panes)
            for pane_ns in panes:
                del self._panes[pane_ns]
            self._bring(cells, segment * segment_ns, codes, cells.config.segment_s / pane_s)
        self._rename()

    def _bring(self, cells: HourCells, start_ns: int, codes: Codes, panes: float) -> None:
        least = cells.config.least_share * panes
        medians, known = middle(codes, 0)
        reached: dict[str, list[int]] = {}
        lowest: dict[str, list[int]] = {}
        for name, row in self._names.items():
            if name.split(SEPARATOR, 1)[0] in _RATIOS:
                reached[name] = [surely(codes[:, row], cells.config), 0]
            elif known[row, 0] >= least:
                (lowest if name == RATE_KEY else reached)[name] = medians[row].tolist()
        said = {name: pair for name, pair in reached.items() if any(pair)}
        cells.visit(cells.config.hour_of(start_ns), said, lowest)

    def _table(self, panes: list[int]) -> Codes:
        """Return the codes (panes x series x tracks); a pane knows no series that were first seen after it."""
        table = np.zeros((len(panes), len(self._names), 2), np.uint8)
        for place, pane_ns in enumerate(panes):
            codes = np.frombuffer(self._panes[pane_ns], np.uint8).reshape(-1, 2)
            table[place, : len(codes)] = codes
        return table

    def _rename(self) -> None:
        """Drop the names of series that the remaining panes do not have."""
        panes = list(self._panes)
        table = self._table(panes)
        kept = [(name, row) for name, row in self._names.items() if table[:, row].any()]
        table = table[:, [row for _, row in kept]]
        self._names = {name: place for place, (name, _) in enumerate(kept)}
        self._panes = {pane_ns: codes.tobytes() for pane_ns, codes in zip(panes, table, strict=True)}

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [list(self._names), self._panes]

    @staticmethod
    def unpacked(body: list[Any]) -> HourNotes:
        """Read `packed` back."""
        notes = HourNotes()
        names, panes = body
        notes._names = {name: row for row, name in enumerate(names)}
        notes._panes = panes
        return notes


def visits_of(history: Iterable[HourlySeries], pane_s: int, config: HourConfig) -> dict[str, list[Visit]]:
    """Return what is stored of a service's hours as visits of its cells, by series."""
    visits = {}
    for one in history:
        name = SeriesKey(one.kind, one.client, one.operation).packed()
        if one.kind is SeriesKind.REQUEST_RATE:
            visits[name] = [(hour, rate * pane_s / 60, rate * pane_s / 60) for hour, rate, _ in one.hours]
        elif one.kind.value in _RATIOS:
            visits[name] = [(hour, _sure_share(hits, of, config), 0.0) for hour, hits, of in one.hours if of > 0]
        else:
            visits[name] = list(one.hours)
    return visits


def surely(codes: Codes, config: HourConfig) -> int:
    """Return the code of the ratio that panes of (hits, trials) surely had: the lower end of its Wilson interval."""
    hits, trials = np.nansum(VALUES[codes], axis=0)
    return int(encode([[_sure_share(hits, trials, config)]])[0, 0]) if trials > 0 else 0


def _sure_share(hits: float, trials: float, config: HourConfig) -> float:
    return PER_MILLE * wilson_lower(min(hits, trials), trials, config.wilson_z)
