"""What is usual of the slow end of a service: taken from its trailing baseline."""

from __future__ import annotations

import numpy as np

from schemas.deviations import SeriesKind
from streams.baselines.config import BaselineConfig
from streams.baselines.measures import SeriesKey
from streams.baselines.state import BaselineState

_TAIL = 1
_P95 = SeriesKey(SeriesKind.P95).packed()


def slow_from_ms(usual_ms: float, times: float, more_ms: float) -> float:
    """Return from where on a request is slow: so many times the usual 95th percentile, and so much more at least."""
    return max(usual_ms * times, usual_ms + more_ms)


def usual_tail_ms(memory: BaselineState, pane_ns: int, config: BaselineConfig) -> float | None:
    """Return the trailing median of the 95th percentile before a pane, or before its episode; None of too few panes."""
    history = memory.history
    past = history.past(history.levels, [_P95], pane_ns, config.history_panes)
    memory.normals.fill(past, history.traffic_before(pane_ns, config.history_panes), [_P95], pane_ns, np.nan)
    tails = past[0, _TAIL]
    known = tails[~np.isnan(tails)]
    return float(np.median(known)) if known.size >= config.min_panes else None
