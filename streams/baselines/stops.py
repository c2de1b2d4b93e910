"""Which operations of a service have stopped being called, by what the tables know: the pane and those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from schemas.deviations import SeriesKind
from streams.baselines.calls import Counts, Past, Since, Usual, missing_gain, score_of, taken_over, usual_of
from streams.baselines.config import BaselineConfig
from streams.baselines.history import History
from streams.baselines.measures import SEPARATOR, SeriesKey
from streams.baselines.state import Snapshot

_FAILURES = SeriesKey(SeriesKind.ERROR_RATE).packed()


class Missing(NamedTuple):
    """An operation with fewer calls than usual: its evidence, calls of the pane and those to be expected, the score."""

    key: SeriesKey
    total: float
    calls: int
    expected: float
    score: float
    usual: Usual


class Calls:
    """The calls of a service's operations: of the judged pane, and of those before it as the failures know them."""

    def __init__(self, history: History, pane_ns: int, calls: Mapping[str, int], requests: int, most: int) -> None:
        names = [name for name in history.ratios.rows if name.startswith(_FAILURES) and name != _FAILURES]
        past = history.past(history.ratios, names, pane_ns, most)[:, 1].astype(float)
        traffic = history.traffic_before(pane_ns, most).astype(float)
        known = traffic > 0
        self.operations = [name.split(SEPARATOR)[2] for name in names]
        self.past: Counts = past[:, known]
        self.traffic: Counts = traffic[known]
        first = history.columns_before(pane_ns) - len(traffic)
        self.pane_ns = history.pane_ns[first : first + len(traffic)][known]
        self.now: Counts = np.array([calls.get(name, 0) for name in self.operations], dtype=float)
        self.requests = requests

    def missing(self, before: Snapshot, config: BaselineConfig) -> Iterator[Missing]:
        """Yield the operations with evidence before this pane or after it."""
        if not self.requests or not self.traffic.size:
            return
        shares = self.past.sum(axis=1) / self.traffic.sum()
        for place, operation in enumerate(self.operations):
            key = SeriesKey(SeriesKind.REQUEST_RATE, operation=operation)
            held = before.usual_calls.get(key.packed())
            if held is None and self.now[place] >= shares[place] * self.requests:
                continue
            usual = Usual(*held) if held else usual_of(Past(self.past[place], self.traffic), config)
            if usual is not None:
                yield self._judged(place, key, usual, before, config)

    def _judged(self, place: int, key: SeriesKey, usual: Usual, before: Snapshot, config: BaselineConfig) -> Missing:
        packed, calls, expected = key.packed(), float(self.now[place]), usual.share * self.requests
        sums, is_active = before.ratios.get(packed, [0.0]), packed in before.active
        gain = missing_gain(calls, self.requests, usual, config)
        if gain > 0 and not is_active and taken_over(place, self._since(before.since_ns(packed) or 2**62)):
            gain = -config.pane_limit
        total = min(max(sums[0] + gain, 0.0), config.ceiling * config.alarm)
        return Missing(key, total, int(calls), expected, score_of(calls, expected, usual.worth), usual)

    def _since(self, since_ns: int) -> Since:
        cut = int(self.pane_ns.searchsorted(since_ns))
        shares = self.past[:, :cut].sum(axis=1) / max(float(self.traffic[:cut].sum()), 1.0)
        calls = self.past[:, cut:].sum(axis=1) + self.now
        return Since(float(self.traffic[cut:].sum()) + self.requests, calls, shares)
