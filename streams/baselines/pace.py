"""How rare the requests of a service are, and how much longer than usual its evidence waits for the next one.

Evidence counts panes with requests (`streams.baselines.evidence`), so where hours lie between a dozen of them it takes
hours; what bounds it in time must give it those.
"""

from __future__ import annotations

import numpy as np

from streams.baselines.config import BaselineConfig
from streams.baselines.history import History


def patience_of(history: History, pane_ns: int, config: BaselineConfig) -> int:
    """Return how many times as long as usual a service is waited for: by its last panes with requests before this one.

    1 where they follow each other closely, or are too few to say. The median of their pauses, so a single hole in the
    telemetry makes nobody rare.
    """
    end = history.columns_before(pane_ns)
    busy = history.pane_ns[:end][history.requests[:end] > 0][-config.paced_panes :]
    if busy.size < config.paced_panes:
        return 1
    pause_s = float(np.median(np.diff(busy))) / 1e9
    return max(1, int(min(config.waited_pauses * pause_s, config.longest_wait_s) / config.stale_s))
