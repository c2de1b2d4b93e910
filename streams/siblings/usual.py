"""What is usual of the slow end of a service: taken from its trailing baseline."""

from __future__ import annotations

import numpy as np

from schemas.deviations import SeriesKind
from streams.baselines.config import BaselineConfig
from streams.baselines.history import History
from streams.baselines.measures import SeriesKey

_TAIL = 1
_P95 = SeriesKey(SeriesKind.P95).packed()


def usual_tail_ms(history: History, pane_ns: int, config: BaselineConfig) -> float | None:
    """Return the trailing median of the 95th percentile before a pane; None of too few panes."""
    past = history.past(history.levels, [_P95], pane_ns, config.history_panes)[0, _TAIL]
    known = past[~np.isnan(past)]
    return float(np.median(known)) if known.size >= config.min_panes else None
