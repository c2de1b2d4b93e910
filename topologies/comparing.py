"""Published ranking methods beside ours, on the same recordings. They are told when each fault began.

::

    recording ─┬─▶ pictures of services ─▶ Panel ─────▶ RANKERS   ┐
               └─▶ spans around each onset ─▶ MicroRank ──────────┴─▶ AC@1, AC@3, Avg@5 by method
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from streams.batch import Messages
from streams.otlp.columns import SpanColumns
from streams.pipeline import Decided
from streams.rankers import RANKERS, MicroRank, Panel, PanelBuilder
from streams.scoring import RANKED_S, Fault

BEFORE_NS = AFTER_NS = int(RANKED_S * 1e9)
MICRORANK = "MicroRank"
METHODS = (*RANKERS, MICRORANK)

Places = dict[str, list[int]]
"""By method: the place of the true service in the ranking of each fault, 0 when it was not named."""


class Comparison:
    """What the other methods make of one recording."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = list(faults)
        self._builder = PanelBuilder()
        self._spectra = [MicroRank(int(fault.start_s * 1e9)) for fault in faults]

    def take(self, spans: SpanColumns, messages: Messages) -> None:
        """Take the spans of some messages of the recording."""
        arrivals_ns = np.repeat(messages.arrivals_ns, messages.sizes)
        for spectrum in self._spectra:
            since_ns = arrivals_ns - spectrum.onset_ns
            spectrum.step(spans, np.flatnonzero((since_ns >= -BEFORE_NS) & (since_ns <= AFTER_NS)))

    def see(self, decided: Decided) -> None:
        """Take what our pipeline saw in a pane (its windows are the same for everybody)."""
        for health in decided.health:
            self._builder.step(health)

    def panel(self) -> Panel:
        """Return the windows that were seen."""
        return self._builder.build()

    def places(self, panel: Panel) -> Places:
        """Rank by every method and return where the truth is."""
        found: Places = {method: [] for method in METHODS}
        for fault, spectrum in zip(self._faults, self._spectra, strict=True):
            before = panel.between(spectrum.onset_ns - BEFORE_NS, spectrum.onset_ns)
            after = panel.between(spectrum.onset_ns, spectrum.onset_ns + AFTER_NS)
            is_measured = before.stop > before.start and after.stop > after.start
            for method, ranker in RANKERS.items():
                found[method].append(_place(fault, ranker(panel, before, after)) if is_measured else 0)
            found[MICRORANK].append(_place(fault, spectrum.ranking()))
        return found


def _place(fault: Fault, named: Sequence[str]) -> int:
    return named.index(fault.service) + 1 if fault.service in named else 0


def add_up(each: Iterable[Places]) -> Places:
    """Put the places of several recordings together."""
    total: Places = {method: [] for method in METHODS}
    for places in each:
        for method, of_recording in places.items():
            total[method] += of_recording
    return total


def accuracies(places: Sequence[int]) -> dict[str, float | None]:
    """Return AC@1, AC@3 and Avg@5; None without faults."""
    if not places:
        return {"ac_1": None, "ac_3": None, "avg_5": None}
    at = [sum(0 < place <= depth for place in places) / len(places) for depth in range(1, 6)]
    return {"ac_1": round(at[0], 4), "ac_3": round(at[2], 4), "avg_5": round(sum(at) / 5, 4)}
