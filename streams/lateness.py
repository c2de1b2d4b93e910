"""Decide whether an item may enter a window. The one rule, used by every fold that reads telemetry."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streams.windows import WindowConfig


class Verdict(IntEnum):
    """What becomes of an item."""

    LIVE = 0
    """It belongs in its pane."""
    LATE = 1
    """Its pane had closed when its record arrived."""
    OUT_OF_RANGE = 2
    """Its time is implausible for its arrival."""
    SETTLED = 3
    """Read again after a restart: its pane had closed and was complete before, with this item in it."""


def judge(
    event_ns: NDArray[np.int64],
    arrival_ns: NDArray[np.int64],
    config: WindowConfig,
    settled_until_ns: int = 0,
    closed_until_ns: int = 0,
) -> NDArray[np.uint8]:
    """Return a `Verdict` for each item from its event time and the arrival of its own record.

    ``settled_until_ns`` is the clock at which panes had closed before a restart. ``closed_until_ns`` is the clock
    at which this fold has closed panes: it only matters where arrival times of a source go backwards.
    """
    closes_ns = event_ns // config.pane_ns * config.pane_ns + (config.pane_ns + config.lateness_ns)
    out = (event_ns < arrival_ns - config.past_ns) | (event_ns > arrival_ns + config.future_ns)
    late = closes_ns <= arrival_ns
    settled = closes_ns <= settled_until_ns
    verdicts = np.where(closes_ns <= closed_until_ns, Verdict.LATE, Verdict.LIVE).astype(np.uint8)
    verdicts[settled] = Verdict.SETTLED
    verdicts[late] = Verdict.LATE
    verdicts[out] = Verdict.OUT_OF_RANGE
    return verdicts
