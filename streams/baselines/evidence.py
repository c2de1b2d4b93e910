"""Evidence over panes: one-sided cumulative sums that grow while a series is off and shrink while it is not.

Every sum adds log-likelihood ratios of "something is wrong" against "as usual" and never falls below zero: the CUSUM
of E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954). Sizes of a change are unknown, so several are
tried at once and the largest sum decides (T. L. Lai, "Sequential multiple hypothesis testing and efficient fault
detection", IEEE Trans. Inf. Theory 46, 2000).

- Levels: does the pane exceed normal by 3, 10, 40 scales? How often calm panes of *this* series do so is counted, so a
  spiky series has to spike more often than it always does.
- Ratios: hits among trials, binomial.

Sums are capped and so is what one pane can add, so one pane alone never makes an alarm and recovery is seen soon.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.baselines.config import BaselineConfig

Floats = NDArray[np.float64]
RATIO_RISES = ((3.0, 0.02), (3.0, 0.2), (2.0, 0.5), (1.5, 0.9))
"""Sizes of a rise that are tried: at least factor x normal, at least this ratio. The last is a fault of everything."""
_RATIO_CONTRAST = 10.0
_RECOVERY_SPEED = 3.0
_LARGE_RISE = 0.5
_SURE_Z = 1.645
"""One-sided 95 %."""
_QUANTILE_ERRORS = np.array((1.2533, 2.1133))
"""Standard errors of the median and the 95th percentile of one request of a standard normal distribution."""


def quantile_weights(requests: Floats, config: BaselineConfig) -> Floats:
    """Return what the median and the 95th percentile of so many requests are worth (series x tracks), 0 to 1.

    A quantile is off as soon as a few requests are: half of them for the median, one in twenty for the tail. So it is
    worth the square root of that few, until `full_requests` requests have to be off at once.
    """
    needed = np.stack((np.ceil(requests / 2.0), np.floor(requests / 20.0) + 1.0), axis=1)
    return np.asarray(np.minimum(1.0, np.sqrt(needed / config.full_requests)))


def sampling_errors(requests: Floats, spread: float) -> Floats:
    """Return by what share the median and the 95th percentile of so many requests are off by chance (series x tracks).

    That is sqrt(p (1 - p) / n) over the density at the quantile (Conover 1999), of latencies whose logarithms have this
    standard deviation. Of a few requests the tail is the slowest one, which is no farther off than any single one.
    """
    root = np.sqrt(np.maximum(requests, 1.0))[:, None]
    return np.asarray(spread * np.minimum(_QUANTILE_ERRORS / root, 1.0))


def level_gains(scores: Floats, usual: Floats, weights: Floats, config: BaselineConfig) -> Floats:
    """Return what one pane argues (series x tracks x levels): positive for a change."""
    expected = config.level_expected
    exceeds = scores[..., None] >= np.asarray(config.levels)
    usual = np.minimum(usual, 0.9 * expected)
    gain = np.where(exceeds, np.log(expected / usual), np.log((1 - expected) / (1 - usual)))
    return np.asarray(gain * weights[..., None])


def usual_ratios(shares: Floats, trials: Floats, of_operation: NDArray[np.bool_]) -> Floats:
    """Return what each rise is held against (ratios x rises): the share of so many trials, and its standard error.

    Of many operations some have no hit for long by chance, and the standard error of that is next to nothing: what
    usually happens would add up to a small rise. Small ones are held against the upper end of Wilson's interval.
    """
    usual = shares + np.sqrt(shares * (1 - shares) / trials)
    square = _SURE_Z**2 / trials
    half = _SURE_Z * np.sqrt(shares * (1 - shares) / trials + square / (4 * trials))
    highest = (shares + square / 2 + half) / (1 + square)
    is_small = np.array([least < _LARGE_RISE for _, least in RATIO_RISES])
    return np.where(of_operation[:, None] & is_small, highest[:, None], usual[:, None])


def add(sums: Floats, gain: Floats, active: NDArray[np.bool_], config: BaselineConfig) -> Floats:
    """Return the sums after a pane with these gains; an active alarm comes down faster than it went up."""
    gain = np.minimum(np.maximum(gain, -config.pane_limit), config.pane_limit)
    gain = np.where((gain < 0) & active, gain * _RECOVERY_SPEED, gain)
    return np.asarray(np.minimum(np.maximum(sums + gain, 0.0), config.ceiling * config.alarm))


def of_many(gain: Floats, least_panes: Floats | float, config: BaselineConfig) -> Floats:
    """Return what a pane argues of one of many operations: each has sums of its own, and few requests."""
    return np.asarray(np.minimum(gain * config.operation_worth, config.alarm / np.maximum(least_panes, 1.0)))


def gather_ratios(
    sums: Floats, hits: Floats, trials: Floats, normal: Floats, active: NDArray[np.bool_],
    least_panes: Floats, config: BaselineConfig,
) -> Floats:  # fmt: skip
    """Return the sums (ratios x rises) after a pane with so many hits of so many trials; no trials change nothing.

    Rises are held against what is `normal` (ratios x rises).
    Those that take `least_panes` to an alarm are of operations, and worth less (`of_many`); of others that is 0.
    """
    p0 = np.clip(normal, 1e-4, 0.95)
    factor = np.array([rise[0] for rise in RATIO_RISES])
    least = np.array([rise[1] for rise in RATIO_RISES])
    p1 = np.minimum(np.maximum(p0 * factor, least), 0.98)
    p0 = np.maximum(p0, p1 / _RATIO_CONTRAST)
    misses = (trials - hits)[:, None]
    gain = hits[:, None] * np.log(p1 / p0) + misses * np.log((1 - p1) / (1 - p0))
    gain = np.where(p1 > 1.5 * p0, gain, -config.pane_limit)
    gain = np.where(least_panes[:, None] > 0, of_many(gain, least_panes[:, None], config), gain)
    after = add(sums, gain, active[:, None], config)
    after = np.where(active[:, None], np.minimum(after, _fallen(sums, gain, config)), after)
    return np.where((trials > 0)[:, None], after, sums)


def _fallen(sums: Floats, gain: Floats, config: BaselineConfig) -> Floats:
    """Return how far the sums of alarms come down because the largest rise that is believed does not go on.

    Who failed nine in ten requests and now fails none of ten has recovered. The sum for two in a hundred takes
    hundreds of requests to say so, the longer the better the service was before.
    """
    kept = sums >= config.release * config.alarm
    falls = np.where(kept, np.clip(gain, -config.pane_limit, 0.0), 0.0)
    return np.asarray(np.maximum(sums + falls.min(axis=1, keepdims=True), 0.0))


def gather_drop(
    total: float, requests: int, normal: float, spread: float, config: BaselineConfig
) -> tuple[float, float]:
    """Return (sum, score) of a traffic drop: variance-stabilised Poisson counts, widened by their own spread.

    The score is negative when there are fewer requests than normal. `spread` is the robust standard deviation of
    past counts.
    """
    overdispersion = max(1.0, spread / max(np.sqrt(normal), 1e-9)) if normal > 0 else 1.0
    score = float(2.0 * (np.sqrt(requests) - np.sqrt(normal)) / overdispersion)
    gain = min(-score - config.drop_allowance, config.pane_limit)
    return min(max(total + gain, 0.0), config.ceiling * config.alarm), score
