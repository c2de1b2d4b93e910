"""A slow request in a hundred: the more requests a pane has, the likelier its tail is that one."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.deviations import SeriesKind
from schemas.health import ServiceHealth
from streams.baselines import BaselineFold, BaselineState
from tests.made_health import edge, health


class Run:
    """A service whose connection makes some requests wait for a quarter second; a pane after the other."""

    def __init__(self, seed: int) -> None:
        self._fold, self._state, self._pane = BaselineFold(), BaselineState(), -1
        self._chance = np.random.default_rng(seed)

    def alarms(self, requests: int, slow_share: float) -> bool:
        """Step one pane; tell whether the gap is an alarm then."""
        self._pane += 1
        slow = self._chance.random(requests) < slow_share
        told, _ = self._fold.advance(self._state, _picture(self._pane, np.where(slow, 230.0, 3.0)))
        assert told is not None
        return any(one.deviating for one in told.series if one.kind is SeriesKind.GAP)


def _picture(pane: int, gaps_ms: np.ndarray) -> ServiceHealth:
    tail_ms = float(np.sort(gaps_ms)[::-1][len(gaps_ms) // 20])
    one = edge("shop", len(gaps_ms), gap_ms=float(np.median(gaps_ms)))
    stats = one.pane.model_copy(update={"gap_p95_ms": tail_ms})
    return health("cart", pane, len(gaps_ms), edges=[one.model_copy(update={"pane": stats, "window": stats})])


@pytest.mark.parametrize("seed", range(6))
def test_more_requests_of_the_same_kind_are_no_deviation(seed: int) -> None:
    """Eight in the pane of two: its tail is slow four times as often, and nothing is wrong."""
    run = Run(seed)
    assert not any(run.alarms(2, 0.08) for _ in range(60))
    assert not any(run.alarms(8, 0.08) for _ in range(120))


def test_more_slow_requests_are_an_alarm_whatever_the_traffic() -> None:
    """Most of them wait, among two as among eight."""
    for requests in (2, 8):
        run = Run(1)
        assert not any(run.alarms(2, 0.08) for _ in range(60))
        assert any(run.alarms(requests, 0.7) for _ in range(24))


def test_many_requests_are_not_crowded() -> None:
    """A hundred in the pane of thirty: the tail is no longer the slowest, so a fifth of slow ones is told as ever."""
    run = Run(2)
    assert not any(run.alarms(30, 0.01) for _ in range(60))
    assert any(run.alarms(100, 0.2) for _ in range(4))
