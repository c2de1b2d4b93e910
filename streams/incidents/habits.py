"""What is usual of the traces that pass through a node, by where they came in: learned while no incident is young.

Sums of minutes: those of the last few stay apart, so that the ones an incident turns out to have begun in are taken
back; older ones are halved when they are many, so that what is long ago fades.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from schemas.deviations import ServiceDeviations
from schemas.health import NodeKind
from streams.latency import add_into
from streams.slo import wilson_lower

LEAST_TRACES = 40
"""Of fewer traces nobody knows what is usual."""
_Z = 2.0
_BLOCK_NS = 60_000_000_000
_BLOCKS_APART = 6
_MOST_TRACES = 4_000
_MOST_PAIRS = 500

Pair = tuple[str, str]
"""A node, and the service at which the traces came in."""


@dataclass(slots=True)
class Usual:
    """Traces of one pair, and how many failed, or failed first at the node; ``errors``: failed entry requests."""

    traces: int = 0
    failing: int = 0
    origins: int = 0
    errors: int = 0
    durations: dict[int, int] = field(default_factory=dict)
    """Of the root spans, by half doubling."""

    def add(self, other: Usual) -> None:
        """Add another's traces."""
        self.traces += other.traces
        self.failing += other.failing
        self.origins += other.origins
        self.errors += other.errors
        add_into(self.durations, other.durations)

    def fade(self) -> None:
        """Halve everything."""
        self.traces, self.failing = self.traces // 2, self.failing // 2
        self.origins, self.errors = self.origins // 2, self.errors // 2
        self.durations = {place: number // 2 for place, number in self.durations.items() if number > 1}

    def beyond(self, quantile: float) -> tuple[int, float]:
        """Return the bin of a quantile of the durations, and at most what share of traces usually are in later ones."""
        ordered = sorted(self.durations.items())
        unders = list(accumulate(number for _, number in ordered))
        at = bisect_left(unders, quantile * unders[-1])
        return ordered[at][0], 1.0 - wilson_lower(unders[at], unders[-1], _Z)


Block = dict[Pair, Usual]


@dataclass(slots=True)
class Habits:
    """Usual traces of each pair: the past, and the last minutes, by when they began."""

    past: Block = field(default_factory=dict)
    recent: list[tuple[int, Block]] = field(default_factory=list)

    def see(self, pane_ns: int, pane: Iterable[ServiceDeviations]) -> None:
        """Take what is no incident's of a pane."""
        if not self.recent or pane_ns - self.recent[-1][0] >= _BLOCK_NS:
            self.recent.append((pane_ns, {}))
        for one in pane:
            for passage in one.passages:
                errors = entry_counts(one)[1] if passage.entry == one.service else 0
                usual = Usual(passage.traces, passage.failing, passage.origins, errors, dict(passage.durations))
                self.recent[-1][1].setdefault((one.service, passage.entry), Usual()).add(usual)
        while len(self.recent) > _BLOCKS_APART:
            self._age(self.recent.pop(0)[1])

    def take_back(self, since_ns: int) -> None:
        """Forget the minutes that end after this instant: an incident began in them."""
        self.recent = [(start, block) for start, block in self.recent if start + _BLOCK_NS <= since_ns]

    def of(self, node: str, entry: str) -> Usual | None:
        """Return what is usual of a pair; None when too little of it is known."""
        found = Usual()
        for block in (self.past, *(block for _, block in self.recent)):
            found.add(block.get((node, entry), Usual()))
        return found if found.traces >= LEAST_TRACES and found.durations else None

    def begun(self) -> dict[str, int]:
        """Return how many traces began at each service."""
        found: dict[str, int] = {}
        for block in (self.past, *(block for _, block in self.recent)):
            for (node, entry), usual in block.items():
                if node == entry:
                    found[node] = found.get(node, 0) + usual.traces
        return found

    def _age(self, block: Block) -> None:
        for pair, usual in block.items():
            known = self.past.setdefault(pair, Usual())
            known.add(usual)
            if known.traces > _MOST_TRACES:
                known.fade()
        if len(self.past) > _MOST_PAIRS:
            busiest = sorted(self.past.items(), key=lambda item: (-item[1].traces, item[0]))[:_MOST_PAIRS]
            self.past = dict(busiest)

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [_packed(self.past), [[start, _packed(block)] for start, block in self.recent]]

    @staticmethod
    def unpacked(body: list[Any]) -> Habits:
        """Read `packed` back; nothing is a fresh start."""
        if not body:
            return Habits()
        past, recent = body
        return Habits(_unpacked(past), [(start, _unpacked(block)) for start, block in recent])


def entry_counts(one: ServiceDeviations) -> tuple[int, int]:
    """Return how many traces came in at a service, and how many of those requests failed there.

    Without traces, those of clients that send no telemetry; all of its requests, where nothing is known of its callers.
    """
    own = next((passage for passage in one.passages if passage.entry == one.service), None)
    edges = [edge for edge in one.edges_in if edge.client_kind is NodeKind.CLIENT]
    requests, errors = sum(edge.requests for edge in edges), sum(edge.errors for edge in edges)
    if one.passages:
        traces, failing = (own.traces, own.failing) if own else (0, 0)
        return traces, min(traces, errors if edges else failing)
    return (one.requests, one.errors) if not one.edges_in else (requests, errors)


def _packed(block: Block) -> list[Any]:
    return [[*pair, one.traces, one.failing, one.origins, one.errors, one.durations] for pair, one in block.items()]


def _unpacked(body: list[Any]) -> Block:
    return {(node, entry): Usual(*counts) for node, entry, *counts in body}
