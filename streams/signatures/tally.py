"""Count the lines of a batch by pane, service and shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.contents import PaneContents, SignatureTally
from streams.grouping import Ints, pack, runs_of
from streams.otlp.columns import Line, SignedRows
from streams.signatures.marks import Marks
from streams.signatures.masking import sample_of


class SignedTable:
    """The lines of several messages as single arrays: the row of the joined table, and the line."""

    def __init__(self, parts: Sequence[SignedRows], counts: Sequence[int]) -> None:
        lines: dict[Line, int] = {}
        firsts = np.cumsum([0, *counts])[:-1]
        self.row: Ints = np.concatenate([part.row + first for part, first in zip(parts, firsts, strict=True)])
        moved = [np.array([lines.setdefault(line, len(lines)) for line in p.lines], dtype=np.int64) for p in parts]
        self._line: Ints = np.concatenate([table[p.line] for table, p in zip(moved, parts, strict=True)])
        self._mark = np.concatenate([part.mark for part in parts])
        self._trace_ids = [trace_id for part in parts for trace_id in part.trace_ids]
        self._lines = list(lines)

    def tally(
        self,
        chosen: Ints,
        home: Ints,
        time_ns: Ints,
        severity: NDArray[np.uint8],
        contents: Sequence[PaneContents],
        in_spans: bool = False,
    ) -> None:
        """Count the ``chosen`` lines (places in ``row``) into the contents of their homes.

        ``home``, ``time_ns`` and ``severity`` are of the chosen lines. Signatures come in order of first appearance.
        ``in_spans``: the lines are of spans, not of log records.
        """
        shapes: dict[tuple[str, str], int] = {}
        shape_of = np.array([shapes.setdefault((line.kind, line.shape), len(shapes)) for line in self._lines])
        shape = shape_of[self._line[chosen]]
        cells = runs_of(pack((home, 0), (shape, max(len(shapes), 1))))
        keys = list(shapes)
        for run in np.argsort(cells.first).tolist():
            places = cells.order[cells.starts[run] : cells.ends[run]]
            first = int(places[0])
            tally = SignatureTally(len(places), int(severity[places].max()), self._sample(chosen, places, time_ns))
            marks = Marks.of(self._mark[chosen[places]].tolist())
            tally.in_logs, tally.in_spans = (Marks(), marks) if in_spans else (marks, Marks())
            contents[int(home[first])].signatures[keys[int(shape[first])]] = tally

    def _sample(self, chosen: Ints, places: Ints, time_ns: Ints) -> tuple[int, str, bytes]:
        times = time_ns[places]
        earliest = int(times.min())
        lines = chosen[places[times == earliest]].tolist()
        return min((earliest, sample_of(self._lines[self._line[n]].text), self._trace_ids[n]) for n in lines)
