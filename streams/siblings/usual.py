"""What is usual of the slow end of a service: taken from its trailing baseline."""

from __future__ import annotations

import numpy as np

from schemas.deviations import SeriesKind
from streams.baselines.config import BaselineConfig
from streams.baselines.measures import SeriesKey
from streams.baselines.state import BaselineState

_TAIL = 1
_P95 = SeriesKey(SeriesKind.P95).packed()


def usual_tail_ms(memory: BaselineState, pane_ns: int, config: BaselineConfig) -> float | None:
    """Return the trailing median of the 95th percentile before a pane, or before its episode; None of too few panes."""
    history = memory.history
    past = history.past(history.levels, [_P95], pane_ns, config.history_panes)
    memory.normals.fill(past, history.traffic_before(pane_ns, config.history_panes), [_P95], pane_ns, np.nan)
    tails = past[0, _TAIL]
    known = tails[~np.isnan(tails)]
    return float(np.median(known)) if known.size >= config.min_panes else None
