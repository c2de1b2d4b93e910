"""The traces that passed through a node, before the onset and since: which failed, which were slow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.health import Passage
from schemas.snapshots import PassageFinding, TraceCounts
from streams.latency import add_into

_USUAL = 0.95
_LEAST_TRACES = 40
"""Traces before the onset without which nothing is called slow."""


def usual_bin(durations: Mapping[int, int], known: int, least: int) -> int | None:
    """Return the bin that 95 % of ``known`` durations did not exceed; None when there are less than ``least``."""
    seen = 0
    for place, number in sorted(durations.items()) if known >= least else ():
        seen += number
        if seen >= _USUAL * known:
            return place
    return None


@dataclass(slots=True)
class _Counts:
    """Passages of several panes added up."""

    traces: int = 0
    failing: int = 0
    origins: int = 0
    durations: dict[int, int] = field(default_factory=dict)

    def see(self, passage: Passage) -> None:
        self.traces += passage.traces
        self.failing += passage.failing
        self.origins += passage.origins
        add_into(self.durations, passage.durations)

    def counts(self, slow_from: int | None) -> TraceCounts:
        slow = 0 if slow_from is None else sum(n for place, n in self.durations.items() if place > slow_from)
        return TraceCounts(traces=self.traces, failing=self.failing, origins=self.origins, slow=slow)


@dataclass(slots=True)
class Visits:
    """The passages of one node by entry."""

    since: dict[str, _Counts] = field(default_factory=dict)
    before: dict[str, _Counts] = field(default_factory=dict)

    def see(self, passages: Iterable[Passage]) -> None:
        """Take one pane since the onset."""
        for passage in passages:
            self.since.setdefault(passage.entry, _Counts()).see(passage)

    def see_past(self, passages: Iterable[Passage]) -> None:
        """Take one pane from before the onset."""
        for passage in passages:
            self.before.setdefault(passage.entry, _Counts()).see(passage)

    def usual(self, entry: str) -> int | None:
        """Return the bin that 95 % of the root durations did not exceed before the onset; None when too few are known.

        To be asked of the entry itself: all traces that come in there pass through it.
        """
        known = self.before.get(entry, _Counts())
        return usual_bin(known.durations, known.traces, _LEAST_TRACES)

    def findings(self, slow_from: Mapping[str, int | None]) -> list[PassageFinding]:
        """Return what was found, by entry; `slow_from` has the usual bin of each."""
        return [
            PassageFinding(
                entry=entry,
                since=self.since.get(entry, _Counts()).counts(slow_from.get(entry)),
                before=self.before.get(entry, _Counts()).counts(slow_from.get(entry)),
            )
            for entry in sorted(self.since.keys() | self.before.keys())
        ]
