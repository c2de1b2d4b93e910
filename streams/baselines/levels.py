"""Latencies of one pane against their past: each series by itself, and pooled over edges and operations.

A service with ten callers spreads its traffic over ten edges, each too thin to tell. Evidence of independent series
adds up, so the sums of a pool grow with all of them; a change of the mix between edges or operations moves none of
them. What happens in one and the same pane is rarely independent: m series argue there with the weight of sqrt(m).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.deviations import SeriesKind
from streams.baselines import evidence
from streams.baselines.config import BaselineConfig
from streams.baselines.history import Cells
from streams.baselines.hour_cells import Usual
from streams.baselines.kernels import describe
from streams.baselines.measures import Level, SeriesKey

Floats = NDArray[np.float64]
_TAIL = 1
_TAIL_REQUESTS = 20.0
"""Of up to so many requests the 95th percentile is the slowest one."""
POOLED = (SeriesKind.GAP, SeriesKind.SELF_TIME, SeriesKind.EDGE_LATENCY)


def is_wait(key: SeriesKey) -> bool:
    """Tell whether it is the time of one operation with all that it waits for."""
    return key.kind is SeriesKind.P95 and key.operation is not None


class Traffic(NamedTuple):
    """Requests of the service: in the pane, and in the panes of the past, or of each series' past; NaN = unknown."""

    requests: int
    past: Cells

    def crowding(self, past: Cells, requests: Floats) -> Floats:
        """Return by series how many times more chances a slow request has to be the tail than it had; 1 at least.

        The more requests a pane has, the likelier one of them is slow, until the 95th percentile is no longer the
        slowest. Past requests of a series are those of the service in the panes that know it, by its present share.
        """
        before = np.clip(self.past * (requests / max(self.requests, 1))[:, None], 1.0, _TAIL_REQUESTS)
        known = ~np.isnan(past[:, _TAIL]) & ~np.isnan(before)
        mean = np.where(known, before, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        is_known = (mean > 0) & (self.requests > 0)
        return np.where(is_known, np.maximum(np.minimum(requests, _TAIL_REQUESTS) / np.maximum(mean, 1.0), 1.0), 1.0)


@dataclass(frozen=True, slots=True)
class LevelVerdict:
    """What a pane says about one latency: sums (2 tracks x levels), and the track that says more in milliseconds."""

    key: SeriesKey
    sums: list[list[float]]
    value_ms: float
    median_ms: float
    scale_ms: float
    requests: int
    by_hour: bool = False
    """The median is what is usual at this hour of the week."""

    @property
    def score(self) -> float:
        """How many scales the value is above its median."""
        return (self.value_ms - self.median_ms) / self.scale_ms


def judge_levels(
    levels: Mapping[SeriesKey, Level], past: Cells, before: Mapping[str, list[list[float]]], active: Set[str],
    is_new: bool, config: BaselineConfig, traffic: Traffic, usual: Usual | None = None,
) -> Iterator[LevelVerdict]:  # fmt: skip
    """Judge the latencies of a pane. `past` (series x tracks x panes, NaN = unknown) is in order of the levels.

    So is what is `usual` at this hour of the week: where that is more than the trailing median, it is the normal.
    Series with too little past are left out, unless the service `is_new` and something is believed of them. Pools
    follow the series they are made of.
    """
    panel = _panel(levels, past, active, is_new, config, traffic, usual)
    if not panel.keys:
        return
    singles = [[row] for row in range(len(panel.keys))]
    pools = panel.pools()
    names = [key.packed() for key in [*panel.keys, *pools]]
    fresh = [[0.0] * len(config.levels)] * 2
    sums = np.array([before.get(name, fresh) for name in names])
    gains = np.stack([*panel.gains, *(panel.gains[rows].sum(axis=0) / np.sqrt(len(rows)) for rows in pools.values())])
    is_active = np.array([name in active for name in names])
    after = evidence.add(sums, gains, is_active[:, None, None], config)
    for key, rows, total in zip([*panel.keys, *pools], [*singles, *pools.values()], after, strict=True):
        yield panel.verdict(key, rows, total)


@dataclass(frozen=True, slots=True)
class _Panel:
    """The judged series of a pane side by side: rows are series, columns the tracks (median, tail)."""

    keys: list[SeriesKey]
    gains: Floats
    values: Floats
    medians: Floats
    scale: Floats
    requests: Floats
    by_hour: NDArray[np.bool_] | None
    """Where the median is what is usual at this hour; None where that is nowhere known."""

    def pools(self) -> dict[SeriesKey, list[int]]:
        """Return the rows of each pool, also of a single edge or operation."""
        members: dict[SeriesKey, list[int]] = {}
        for row, key in enumerate(self.keys):
            if key.kind in POOLED:
                members.setdefault(key.pool, []).append(row)
        return members

    def verdict(self, key: SeriesKey, rows: Sequence[int], sums: Floats) -> LevelVerdict:
        """Return what is said of a series, or of a pool: its values are means weighted by traffic."""
        requests = float(self.requests[rows].sum())
        if len(rows) == 1:
            value, median, scale = (table[rows[0]].tolist() for table in (self.values, self.medians, self.scale))
        else:
            weights = self.requests[rows] / requests
            value, median, scale = (
                (weights @ table[rows]).tolist() for table in (self.values, self.medians, self.scale)
            )
        totals: list[list[float]] = sums.tolist()
        score = [(at - usual) / width for at, usual, width in zip(value, median, scale, strict=True)]
        side = int((max(totals[1]), score[1]) > (max(totals[0]), score[0]))
        return LevelVerdict(
            key, totals, value[side], median[side], scale[side], int(requests),
            self.by_hour is not None and bool(self.by_hour[rows, side].any()),
        )  # fmt: skip


def _panel(
    levels: Mapping[SeriesKey, Level], past: Cells, active: Set[str], is_new: bool, config: BaselineConfig,
    traffic: Traffic, at_hour: Usual | None,
) -> _Panel:  # fmt: skip
    keys, measured = list(levels), np.array([level[:3] for level in levels.values()]).reshape(-1, 3)
    own = [key.kind is SeriesKind.SELF_TIME or is_wait(key) for key in keys]
    floors = np.where(own, config.own_time_floor_ms, config.latency_floor_ms)
    relative = max(config.relative_floor, config.sketch_bin)
    limits = np.array(config.levels)
    medians, scale, panes, usual = describe(
        past, floors, relative, config.young_inflation, limits, np.array(config.level_priors), config.level_prior_panes
    )
    usual[:, _TAIL] = 1.0 - (1.0 - usual[:, _TAIL]) ** traffic.crowding(past, measured[:, 2])[:, None]
    scale = np.fmax(scale, medians * evidence.sampling_errors(measured[:, 2], config.request_spread))
    known = panes.min(axis=1) >= config.min_panes
    for row, (key, level) in enumerate(levels.items()):
        if not known[row] and level.has_prior and (is_new or key.packed() in active):
            known[row], medians[row] = True, config.prior_gap_ms
            scale[row] = config.prior_gap_scale_ms * np.array(config.prior_track_widths)
            usual[row] = config.level_priors
    by_hour = None
    if at_hour is not None:
        by_hour = at_hour.values > medians
        medians = np.where(by_hour, at_hour.values, medians)
        scale = np.where(by_hour, np.fmax(scale, np.fmax(at_hour.spread, relative * medians)), scale)
    rows = np.flatnonzero(known)
    values, requests = measured[rows, :2], measured[rows, 2]
    medians, scale, usual = medians[rows], scale[rows], usual[rows]
    scores = (values - medians) / scale
    gains = evidence.level_gains(scores, usual, evidence.quantile_weights(requests, config), config)
    waits = np.array([is_wait(keys[row]) for row in rows], dtype=np.bool_)
    gains = np.where(waits[:, None, None], evidence.of_many(gains, config.operation_least_panes, config), gains)
    return _Panel(
        [keys[row] for row in rows], gains, values, medians, scale, requests, None if by_hour is None else by_hour[rows]
    )
