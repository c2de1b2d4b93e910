"""Evidence that an instance is worse than its siblings: cumulative sums of log-likelihood ratios, as of any ratio.

Two sizes of a rise are tried: nine in ten requests, and, where hardly any are hit, three in ten slow ones (habits move
with the load) or two in ten failed ones. What lies between is told of nobody whose siblings, or who himself, has hits
by habit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.baselines.config import BaselineConfig
from streams.baselines.evidence import add

Floats = NDArray[np.float64]
_SHARES = np.array(((0.3, 0.9), (0.2, 0.9)))
_LEAST_FACTORS = np.array((3.0, 1.5))
"""How many times as much as normal a size must be."""
_CONTRAST = 10.0


def gather_hits(
    sums: Floats, hits: Floats, requests: Floats, normal: Floats, active: NDArray[np.bool_], bounds: BaselineConfig
) -> Floats:
    """Return the sums (instances x kinds x sizes) after a pane with so many hits; no requests change nothing.

    The others are instances x kinds.
    """
    p0 = np.minimum(np.maximum(normal, 1e-3), 0.95)[..., None]
    is_rise = _LEAST_FACTORS * p0 <= _SHARES
    p0, p1 = np.maximum(p0, _SHARES / _CONTRAST), _SHARES
    good = (requests - hits)[..., None]
    gain = hits[..., None] * np.log(p1 / p0) + good * np.log((1 - p1) / (1 - p0))
    gain = np.where(is_rise, gain, -bounds.pane_limit)
    after = add(sums, gain, active[..., None], bounds)
    return np.where((requests > 0)[..., None], after, sums)
