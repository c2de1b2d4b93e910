"""Evidence that an instance is slower than its siblings: cumulative sums of log-likelihood ratios, as of any ratio.

Two sizes of a rise are tried: three in ten requests slow, where hardly any are, and nine in ten. What lies between is
told of nobody whose siblings, or who himself, has slow requests by habit: habits move with the load.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.baselines.config import BaselineConfig
from streams.baselines.evidence import add

Floats = NDArray[np.float64]
_SHARES = np.array((0.3, 0.9))
_LEAST_FACTORS = np.array((3.0, 1.5))
"""How many times as much as normal a size must be."""
_CONTRAST = 10.0


def gather_slow(
    sums: Floats, slow: Floats, requests: Floats, normal: Floats, active: NDArray[np.bool_], bounds: BaselineConfig
) -> Floats:
    """Return the sums (instances x sizes) after a pane with so many slow requests; no requests change nothing."""
    p0 = np.clip(normal, 1e-3, 0.95)[:, None]
    is_rise = _LEAST_FACTORS * p0 <= _SHARES
    p0, p1 = np.maximum(p0, _SHARES / _CONTRAST), _SHARES
    fast = (requests - slow)[:, None]
    gain = slow[:, None] * np.log(p1 / p0) + fast * np.log((1 - p1) / (1 - p0))
    gain = np.where(is_rise, gain, -bounds.pane_limit)
    after = add(sums, gain, active[:, None], bounds)
    return np.where((requests > 0)[:, None], after, sums)
