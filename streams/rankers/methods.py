"""Rankings of services from windows before and after a known onset, best suspect first."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from streams.rankers.panel import Floats, Panel

Ranker = Callable[[Panel, slice, slice], list[str]]
"""(panel, panes before the onset, panes after it) -> services, best suspect first; one without a score is left out."""

SIGMA_FLOOR_MS = 1.0
RELATIVE_FLOOR = 0.1
MAD_TO_SIGMA = 1.4826
RESTART, BACKWARD, STAY = 0.15, 0.2, 0.1
STEPS = 100


def largest_p95_ratio(panel: Panel, before: slice, after: slice) -> list[str]:
    """Rank by mean p95 after over mean p95 before."""
    return _ranked(panel, _mean(panel.p95_ms[:, after]) / np.maximum(_mean(panel.p95_ms[:, before]), SIGMA_FLOOR_MS))


def n_sigma(panel: Panel, before: slice, after: slice) -> list[str]:
    """Rank by how many standard deviations the mean p95 moved (the rule of most alerting tools)."""
    return _ranked(panel, _sigmas(panel.p95_ms, before, after))


def random_walk(panel: Panel, before: slice, after: slice) -> list[str]:
    """Rank by a walk over the service graph that is drawn to callees whose latency moved.

    MonitorRank: Kim, Sumbaly, Shah, "Root cause detection in a service-oriented architecture", SIGMETRICS 2013. Forward
    to callees, backward to callers with a smaller weight, restarts in proportion to the service's own deviation.
    """
    pull = np.nan_to_num(np.maximum(_sigmas(panel.p95_ms, before, after), 0.0)) + 1e-3
    rows = {service: row for row, service in enumerate(panel.services)}
    steps = np.diag(STAY * pull)
    for client, server in panel.calls:
        steps[rows[client], rows[server]] += pull[rows[server]]
        steps[rows[server], rows[client]] += BACKWARD * pull[rows[client]]
    steps /= steps.sum(axis=1, keepdims=True)
    start = pull / pull.sum()
    place = start
    for _ in range(STEPS):
        place = (1 - RESTART) * place @ steps + RESTART * start
    return _ranked(panel, place)


def robust_scorer(panel: Panel, before: slice, after: slice) -> list[str]:
    """Rank by self time or gap, whichever left its median by more floored median absolute deviations."""
    moved = [_robust(series, before, after) for series in (panel.own_ms, panel.gap_ms)]
    return _ranked(panel, np.fmax(*moved))


RANKERS: dict[str, Ranker] = {
    "largest p95 ratio": largest_p95_ratio,
    "N-sigma": n_sigma,
    "random walk": random_walk,
    "robust scorer": robust_scorer,
}


def _sigmas(series: Floats, before: slice, after: slice) -> Floats:
    mean, spread = _mean(series[:, before]), _quiet(np.nanstd, series[:, before])
    return np.asarray((_mean(series[:, after]) - mean) / np.maximum(spread, SIGMA_FLOOR_MS))


def _robust(series: Floats, before: slice, after: slice) -> Floats:
    median = _quiet(np.nanmedian, series[:, before])
    mad = _quiet(np.nanmedian, np.abs(series[:, before] - median[:, None]))
    scale = np.maximum(np.maximum(MAD_TO_SIGMA * mad, RELATIVE_FLOOR * median), SIGMA_FLOOR_MS)
    return np.asarray((_quiet(np.nanmedian, series[:, after]) - median) / scale)


def _mean(series: Floats) -> Floats:
    return _quiet(np.nanmean, series)


def _quiet(reduce: Callable[..., Floats], series: Floats) -> Floats:
    """Reduce over panes; a service without any value is NaN, and that is no reason for a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(reduce(series, axis=1))


def _ranked(panel: Panel, scores: Floats) -> list[str]:
    scored = [(-score, name) for score, name in zip(scores.tolist(), panel.services, strict=True) if score == score]
    return [name for _, name in sorted(scored)]
