"""When things get clearly better, better is the new normal at once.

A baseline may have been learned during a fault (telemetry often starts because of one). Waiting until the good panes
outnumber the bad ones would leave the service unguarded, so panes that are worse than the last few are forgotten. Only
young baselines do this: later on a fault is masked while it lasts, and workloads that alternate must keep both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from streams.baselines.config import BaselineConfig
from streams.baselines.history import Cells, History
from streams.baselines.kernels import better_since


def better_levels(
    history: History, names: Sequence[str], pane_ns: int, config: BaselineConfig
) -> Iterator[tuple[str, int]]:
    """Yield the levels that are clearly better since some column up to this pane, and the start of its pane.

    A few lucky requests prove nothing.
    """
    if not names or not _is_young(history, pane_ns, config):
        return
    past = history.past(history.levels, names, pane_ns + 1, config.history_panes)
    first = history.columns_before(pane_ns + 1) - past.shape[2]
    requests = history.requests[first : first + past.shape[2]]
    least_ms = 2 * config.latency_floor_ms
    cuts = better_since(past, requests, config.better_panes, float(config.better_requests), least_ms)
    for name, cut in zip(names, cuts.tolist(), strict=True):
        if cut:
            yield name, int(history.pane_ns[first + cut])


def better_ratios(
    history: History, names: Sequence[str], pane_ns: int, config: BaselineConfig
) -> Iterator[tuple[str, int]]:
    """Yield the ratios whose hits have ended, and the start of the first pane without any.

    Ended: so many trials since the last hit that the old ratio would have made them with a chance below
    `better_chance` (binomial).
    """
    if not _is_young(history, pane_ns, config):
        return
    past = history.past(history.ratios, names, pane_ns + 1, config.history_panes)
    first = history.columns_before(pane_ns + 1) - past.shape[2]
    for name, rows in zip(names, past, strict=True):
        cut = _ended(rows, config)
        if cut:
            yield name, int(history.pane_ns[first + cut])


def _is_young(history: History, pane_ns: int, config: BaselineConfig) -> bool:
    return min(history.columns_before(pane_ns + 1), config.history_panes) <= config.better_until_panes


def _ended(rows: Cells, config: BaselineConfig) -> int:
    hits = np.flatnonzero(rows[0])
    if hits.size == 0:
        return 0
    cut = int(hits[-1]) + 1
    old_hits, old_trials = rows[:, :cut].sum(axis=1)
    since = float(rows[1, cut:].sum())
    over = old_hits >= 3 and since * np.log1p(-min(old_hits / old_trials, 0.999)) < np.log(config.better_chance)
    return cut if over else 0
