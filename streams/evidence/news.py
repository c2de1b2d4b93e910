"""Which signatures are news: did a signature's rate change at some pane, and since when?

For every possible onset in the last panes, the lines before it and since it are two Poisson counts over two exposures.
Their generalised likelihood ratio (of "two rates" against "one rate") is the evidence of a change there; the largest
one decides, and its pane is the onset (Lorden, "Procedures for reacting to a change in distribution", Ann. Math.
Statist. 42, 1971; Siegmund & Venkatraman, Ann. Statist. 23, 1995). A short past weighs little by itself: lines that
were never seen in ten panes prove less than ones never seen in a thousand.

Two guards, because lines come in bursts. One pane argues with a bounded number of lines. And a signature whose counts
scatter more than Poisson's has its evidence divided by how much more (the index of dispersion before the onset).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.evidence.config import EvidenceConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of rate: the place of its first pane, the evidence in nats, and both rates in lines a pane."""

    onset: int
    evidence: float
    usual: float
    since: float
    seen_before: bool


def changes(counts: Floats, exposure: Floats, config: EvidenceConfig) -> list[Change | None]:
    """Return the best supported change of each signature (a row of ``counts``: lines by pane), or None.

    ``exposure`` is how much each pane could have shown: 0 where the service was not heard, 1 usually.
    """
    panes = counts.shape[1]
    onsets = np.arange(max(1, panes - config.onset_panes), panes)
    heard = np.cumsum(exposure > 0)
    onsets = onsets[(heard[onsets - 1] >= config.min_panes) & (heard[-1] > heard[onsets - 1])]
    if not len(onsets) or not len(counts):
        return [None] * len(counts)
    before = _Sides(counts, exposure, onsets, config)
    evidence = before.evidence()
    best = evidence.argmax(axis=1)
    rows = np.arange(len(counts))
    return [
        Change(int(onsets[at]), float(evidence[row, at]), float(before.usual[row, at]), float(before.since[row, at]),
               bool(before.lines_before[row, at] > 0))
        if evidence[row, at] > 0 else None
        for row, at in zip(rows.tolist(), best.tolist(), strict=True)
    ]  # fmt: skip


class _Sides:
    """Lines and exposure before and since each onset (signatures x onsets)."""

    def __init__(self, counts: Floats, exposure: Floats, onsets: NDArray[np.int64], config: EvidenceConfig) -> None:
        total = np.cumsum(counts, axis=1)
        shown = np.cumsum(exposure)
        self.lines_before = total[:, onsets - 1]
        self.exposure_before = shown[onsets - 1]
        self.usual = self.lines_before / self.exposure_before
        self._dispersion = _dispersion(counts, exposure, onsets, self.usual)
        limit = np.maximum(config.new_lines, config.burst * self.usual)
        self.lines_since = _capped_since(counts, onsets, limit)
        self.exposure_since = shown[-1] - self.exposure_before
        self.since = self.lines_since / self.exposure_since

    def evidence(self) -> Floats:
        """Return the generalised likelihood ratio of two rates against one, in nats, tamed by the dispersion."""
        pooled = (self.lines_before + self.lines_since) / (self.exposure_before + self.exposure_since)
        ratio = _gain(self.lines_before, self.usual, pooled) + _gain(self.lines_since, self.since, pooled)
        return np.asarray(ratio / self._dispersion)


def _gain(lines: Floats, rate: Floats, pooled: Floats) -> Floats:
    safe = np.where((lines > 0) & (pooled > 0), rate / np.where(pooled > 0, pooled, 1.0), 1.0)
    return np.asarray(lines * np.log(safe))


def _dispersion(counts: Floats, exposure: Floats, onsets: NDArray[np.int64], usual: Floats) -> Floats:
    """Return how much wider than Poisson's the counts before each onset scatter; 1 at least."""
    heard = np.cumsum(exposure > 0)[onsets - 1]
    squares = np.cumsum(np.where(exposure > 0, counts**2, 0.0), axis=1)[:, onsets - 1]
    mean = np.cumsum(counts, axis=1)[:, onsets - 1] / heard
    variance = np.maximum(squares / heard - mean**2, 0.0)
    return np.asarray(np.maximum(1.0, np.where(usual > 0, variance / np.maximum(mean, 1e-9), 1.0)))


def _capped_since(counts: Floats, onsets: NDArray[np.int64], limit: Floats) -> Floats:
    """Return the lines from each onset to the end, each pane's capped at the limit of that onset."""
    recent = counts[:, onsets[0] :]
    capped = np.minimum(recent[:, None, :], limit[:, :, None])
    within = np.arange(onsets[0], counts.shape[1])[None, :] >= onsets[:, None]
    return np.asarray((capped * within[None, :, :]).sum(axis=2))
