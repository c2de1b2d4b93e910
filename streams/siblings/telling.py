"""The series of an instance, for the incidents: its share of slow or failed requests against its siblings'."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.deviations import SeriesScore
from streams.siblings.comparison import Comparison
from streams.siblings.kinds import KINDS, SLOW

_LEAST_SCALE = 0.01


def series_of(comparison: Comparison) -> list[SeriesScore]:
    """Return by kind the series of the instances with most evidence, of those that are suspected."""
    config = comparison.config
    evidence = comparison.rows["sums"].max(axis=-1) / config.evidence.alarm
    if evidence.max() < config.told:
        return []
    return [
        _score(comparison, row, kind, float(evidence[row, kind]))
        for kind in range(len(KINDS))
        for row in _clearest(comparison, evidence[:, kind])
    ]


def _clearest(comparison: Comparison, evidence: NDArray[np.float64]) -> list[int]:
    told = np.flatnonzero(evidence >= comparison.config.told).tolist()
    return sorted(told, key=lambda row: (-evidence[row], comparison.names[row]))[: comparison.config.max_told]


def _score(comparison: Comparison, row: int, kind: int, evidence: float) -> SeriesScore:
    """Return the share of the episode against the siblings' in this pane; the score is that of this pane alone."""
    counts, rows = comparison.counts, comparison.rows
    requests, hits = float(counts.requests[row]), float(counts.hits[row, kind])
    beside, beside_hits = float(counts.beside[row]), float(counts.beside_hits[row, kind])
    since = rows["doubtful"][row, kind] + requests, rows["doubtful_hits"][row, kind] + hits
    normal = float(comparison.normal[row, kind])
    scale = max(float(np.sqrt(normal * (1 - normal) / max(requests, 1.0))), _LEAST_SCALE)
    score = (hits / requests - normal) / scale if requests else 0.0
    return SeriesScore(
        kind=KINDS[kind], instance=comparison.names[row],
        limit_ms=round(comparison.now.line_ms, 3) if kind == SLOW else None,
        value=round(float(since[1] / max(since[0], 1.0)), 6), median=round(beside_hits / max(beside, 1.0), 6),
        scale=round(scale, 6), score=round(score, 3), unit="ratio", requests=int(requests),
        evidence=round(evidence, 4), deviating=bool(rows["active"][row, kind]),
        since_ns=comparison.began_ns(row, kind), accepted=bool(comparison.lasting()[row, kind]),
    )  # fmt: skip
