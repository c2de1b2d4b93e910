"""Simulated calm: how often is an ordinary day, or plain noise, taken for trouble?"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from schemas.settings import Settings
from streams.baselines import BaselineConfig
from streams.baselines.config import FEW_SERIES
from streams.baselines.measures import measures_of
from tests.bench.simulate_noise import alarms_of
from tests.noisy_service import NoisyService
from tests.quiet_day import PANES_A_DAY
from tests.quiet_shop import QuietShop, incidents_of

HOUR = 360
HOURS = int(os.environ.get("QUIET_HOURS", "1"))
MORNING = 8 * HOUR
"""From here on the load of the made shop rises fastest."""
MOST_SENSITIVE = 25.0
PLAIN: dict[str, int] = {}
WIDE = {"operations": 12, "callers": 16, "instances": 5, "rate_per_s": 20}


def test_hours_of_a_rising_morning_open_no_incident() -> None:
    """Ten services as OTLP through every operator: growing load, errors as every day; a whole day opens two at most."""
    opened = incidents_of(QuietShop(seed=11).records(HOURS * HOUR, MORNING))
    assert len(opened) <= (2 if HOURS >= 24 else 0), [event.title for event in opened]


@pytest.mark.parametrize("shape", [PLAIN, WIDE])
def test_sensitivity_says_how_many_false_alarms_a_service_has_a_day(shape: dict[str, int]) -> None:
    """The most sensitive setting, plain noise: latencies, gaps, failures, operations, edges and instances."""
    panes = 2 * HOUR
    promised = MOST_SENSITIVE * panes / PANES_A_DAY
    found = alarms_of(NoisyService("cart", 3, **shape), MOST_SENSITIVE, panes)
    assert found["service"] <= promised + 2 * np.sqrt(promised), found


def test_many_series_share_the_false_alarms_of_their_service() -> None:
    """Each has the logarithm of how many they are more to gather: their chances add up to what one had."""
    config = BaselineConfig.from_settings(Settings(false_alarms_per_day=1.0))
    plain, wide = (measures_of(NoisyService("cart", 3, **shape).pane(0), 16, 12).series for shape in (PLAIN, WIDE))
    assert plain == FEW_SERIES
    latencies, ratios = 1 + (12 + 1) + 2 * (16 + 1), 1 + 12 + 16 + 1  # of several there is a pool, too
    assert wide == latencies + ratios + 1 + 12  # traffic, and the calls of operations
    assert config.bounds_of(plain) == config
    assert config.bounds_of(wide).alarm == pytest.approx(config.alarm + math.log(wide / plain))
