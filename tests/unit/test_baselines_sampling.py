"""Latencies of a few requests a pane: what chance makes of their quantiles is no deviation, however long they take."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.deviations import SeriesKind
from schemas.health import ServiceHealth
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.baselines.evidence import sampling_errors
from tests.made_health import edge, health


class Run:
    """A service with a steady gap, whose requests all take so many times as long; a pane after the other."""

    def __init__(self, scale: float) -> None:
        self._fold, self._state, self._pane, self._scale = BaselineFold(), BaselineState(), -1, scale

    def alarms(self, requests: int, gap_ms: float) -> bool:
        """Step one pane; tell whether the gap is an alarm then."""
        self._pane += 1
        told, _ = self._fold.advance(self._state, _picture(self._pane, requests, gap_ms * self._scale))
        assert told is not None
        return any(one.deviating for one in told.series if one.kind is SeriesKind.GAP)


def _picture(pane: int, requests: int, gap_ms: float) -> ServiceHealth:
    return health("cart", pane, requests, edges=[edge("shop", requests, gap_ms=gap_ms)])


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
def test_three_slower_requests_a_pane_are_chance_whatever_they_take(scale: float) -> None:
    """Two and a half times the usual: without the sampling error it would be an alarm from a median of some ms on."""
    run = Run(scale)
    assert not any(run.alarms(3, 10.0) for _ in range(40))
    assert not any(run.alarms(3, 25.0) for _ in range(12))


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
def test_three_requests_a_pane_that_take_twenty_times_as_long_are_an_alarm(scale: float) -> None:
    """A fault is told from chance by its size, in a fast system as in a slow one."""
    run = Run(scale)
    assert not any(run.alarms(3, 10.0) for _ in range(40))
    assert any(run.alarms(3, 200.0) for _ in range(6))


def test_many_requests_that_are_half_as_slow_again_are_an_alarm() -> None:
    """The median of a thousand requests is hardly moved by chance."""
    run = Run(10.0)
    assert not any(run.alarms(1000, 10.0) for _ in range(40))
    assert any(run.alarms(1000, 18.0) for _ in range(12))


def test_the_error_of_a_quantile_is_that_of_simulated_requests() -> None:
    """Lognormal latencies: the standard deviation of the logarithms of medians and tails, by requests of a pane."""
    chance, spread = np.random.default_rng(7), BaselineConfig().request_spread
    for requests in (40, 200, 1000):
        drawn = np.sort(chance.normal(0.0, spread, (4000, requests)), axis=1)
        found = [np.std(drawn[:, requests // 2]), np.std(drawn[:, int(0.95 * requests)])]
        assert sampling_errors(np.array([requests]), spread)[0] == pytest.approx(found, rel=0.1)
    assert (sampling_errors(np.array([0.0, 1.0, 3.0]), spread) <= spread).all()
