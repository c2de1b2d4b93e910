"""When things get clearly better, better is the new normal at once.

A baseline may have been learned during a fault (telemetry often starts because of one). Waiting until the good panes
outnumber the bad ones would leave the service unguarded, so panes that are worse than the last few are forgotten. Only
young baselines do this: later on a fault is masked while it lasts, and workloads that alternate must keep both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.baselines.config import BaselineConfig

Floats = NDArray[np.float64]


def forget_worse_levels(rows: Floats, requests: Floats, config: BaselineConfig) -> None:
    """Blank the older columns of a level (2 x panes) in place when the latest panes are far below them.

    `requests` is the traffic of the panes: a few lucky requests prove nothing.
    Far below: each of the last `better_panes` under the 5th percentile of the older ones, and half their median.
    """
    if rows.shape[1] > config.better_until_panes:
        return
    for track in rows:
        known = np.flatnonzero(~np.isnan(track))
        if known.size < 2 * config.better_panes:
            continue
        cut = known[-config.better_panes]
        if np.nansum(requests[cut:]) < config.better_requests:
            continue
        recent, older = track[cut:], track[:cut]
        best, usual = np.nanmax(recent), float(np.nanmedian(older))
        if best > usual / 2 or usual - best < 2 * config.latency_floor_ms:
            continue
        if best < np.nanquantile(older, 0.05):
            rows[:, :cut] = np.nan
            return


def forget_worse_ratios(rows: Floats, config: BaselineConfig) -> None:
    """Blank the older columns of a ratio (2 x panes) in place when its hits have ended.

    Ended: so many trials since the last hit that the old ratio would have made them with a chance below
    `better_chance` (binomial).
    """
    hits = np.flatnonzero(rows[0])
    if hits.size == 0 or rows.shape[1] > config.better_until_panes:
        return
    cut = int(hits[-1]) + 1
    old_hits, old_trials = rows[:, :cut].sum(axis=1)
    since = float(rows[1, cut:].sum())
    if old_hits >= 3 and since * np.log1p(-min(old_hits / old_trials, 0.999)) < np.log(config.better_chance):
        rows[:, :cut] = 0.0
