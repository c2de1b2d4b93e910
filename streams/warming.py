"""Compile whatever is compiled before it is needed, or load it where an earlier process kept it."""

from __future__ import annotations

import numpy as np

from streams import flat_columns
from streams.baselines.kernels import better_since, center, describe
from streams.otlp import walker
from streams.otlp.columns import Signal
from streams.otlp.repeating import UNCOUNTED_BYTES, repeated_bytes
from streams.points import PointConfig, surprises


def warm_up() -> None:
    """Take a minute and a half of one core the first time on a machine, and a second or two afterwards."""
    walker.warm_up()
    repeated_bytes(Signal.TRACES, bytes(UNCOUNTED_BYTES))
    warm_up_judging()
    flat_columns.warm_up()


def warm_up_judging() -> None:
    """Compile what judges panes and points, or load it: with the types that these have."""
    series, numbers = np.ones((1, 2, 4), np.float32), np.ones(1)
    describe(series, numbers, 0.1, 1.0, numbers, numbers, 10.0)
    center(series[0, 0])
    better_since(series, series[0, 0], 1, 1.0, 1.0)
    config = PointConfig()
    surprises(np.ones(2 * max(config.neighbours, *config.shapes) + 1), config)
