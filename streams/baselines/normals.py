"""What was normal before an episode, kept while the episode lasts and until as much is known again.

Panes of an episode are not learned, so while it lasts the panes before it leave the trailing table one by one. Without
them nothing would say what deviates. A pane that is judged again asks for what was kept before it, so nothing here is
changed in place: a `Kept` says from which pane on it counts, an empty one that the one before it counts no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streams.baselines.history import Cells


class Kept(NamedTuple):
    """Known panes of a series for panes after `by_ns`: two numbers and the service's requests (3 x panes)."""

    by_ns: int
    name: str
    cells: Cells


def known_panes(cells: Cells) -> int:
    """Return how many panes (2 or 3 x panes) say something: of a level its tail is known, of a ratio its trials."""
    return int(np.count_nonzero(_is_known(cells)))


def _is_known(cells: Cells) -> Any:
    return ~np.isnan(cells[1]) & (cells[1] != 0)


class Normals:
    """The normals of series that deviate, or did until lately. Bounded: `most` series, `panes` known panes each."""

    def __init__(self, kept: Sequence[Kept] = ()) -> None:
        self._kept = list(kept)

    def names(self, pane_ns: int) -> list[str]:
        """Return the series of which something is kept for a pane."""
        return [
            name for name in dict.fromkeys(one.name for one in self._kept) if self.before(name, pane_ns) is not None
        ]

    def before(self, name: str, pane_ns: int) -> Kept | None:
        """Return what is kept of a series for a pane."""
        of_it = [one for one in self._kept if one.name == name and one.by_ns < pane_ns]
        latest = max(of_it, key=lambda one: one.by_ns, default=None)
        return latest if latest is not None and latest.cells.shape[1] else None

    def fill(self, past: Cells, requests: Cells, names: Sequence[str], pane_ns: int, nothing: float) -> Cells:
        """Let what is kept stand in, in place, for series (series x 2 x panes) that know fewer panes than it does.

        Return the service's requests in the panes of each series; `requests` are those of the table's panes, which are
        no fewer than any that were kept.
        """
        if not self._kept:
            return requests
        by_series: Cells = np.tile(requests, (len(names), 1))
        for row, name in enumerate(names):
            kept = self.before(name, pane_ns)
            if kept is not None and known_panes(past[row]) < kept.cells.shape[1]:
                panes = kept.cells.shape[1]
                past[row], by_series[row] = nothing, np.nan
                past[row, :, :panes], by_series[row, :panes] = kept.cells[:2], kept.cells[2]
        return by_series

    def keep(self, by_ns: int, name: str, past: Cells, panes: int) -> None:
        """Keep the last known panes of a series (3 x panes) for later panes; of an unknown one nothing."""
        known = np.flatnonzero(_is_known(past))[-panes:]
        if known.size:
            self._kept.append(Kept(by_ns, name, np.ascontiguousarray(past[:, known], np.float32)))

    def release(self, by_ns: int, name: str) -> None:
        """Let what is kept of a series count no more for later panes."""
        if self.before(name, by_ns + 1) is not None:
            self.forget_of(by_ns, name)
            self._kept.append(Kept(by_ns, name, np.zeros((3, 0), np.float32)))

    def forget_of(self, pane_ns: int, name: str | None = None) -> None:
        """Drop what a pane said, of one series or of all: it is judged anew."""
        self._kept = [one for one in self._kept if one.by_ns != pane_ns or name not in (None, one.name)]

    def settle(self, oldest_ns: int, most: int) -> None:
        """Drop what counts for no pane any more that can come, and of too many series those kept longest ago."""
        latest = {one.name: one for one in self._kept if one.by_ns <= oldest_ns}
        kept = [one for one in self._kept if one.by_ns > oldest_ns or (latest[one.name] is one and one.cells.size)]
        if len(kept) > most:
            kept = sorted(kept, key=lambda one: (-one.by_ns, one.name))[:most]
        self._kept = sorted(kept, key=lambda one: (one.by_ns, one.name))

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [[one.by_ns, one.name, one.cells.tobytes()] for one in self._kept]

    @staticmethod
    def unpacked(body: Sequence[Any]) -> Normals:
        """Read `packed` back."""
        rows = ((by_ns, name, np.frombuffer(bytearray(raw), np.float32)) for by_ns, name, raw in body)
        return Normals([Kept(by_ns, name, cells.reshape(3, -1)) for by_ns, name, cells in rows])
