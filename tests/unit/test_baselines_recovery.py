"""When failures are over: an alarm ends as soon as the size of what was wrong says so, however good normal is."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.deviations import SeriesKind
from streams.baselines import BaselineFold, BaselineState
from tests.made_health import health


class Run:
    """A service that was well for twenty minutes, a pane after the other."""

    def __init__(self, requests: int) -> None:
        self._fold, self._state, self._pane, self._requests = BaselineFold(), BaselineState(), -1, requests
        assert not any(self.alarms(0) for _ in range(120))

    def alarms(self, errors: int) -> bool:
        """Step one pane; tell whether its failed requests are an alarm then."""
        self._pane += 1
        told, _ = self._fold.advance(self._state, health("cart", self._pane, self._requests, errors=errors))
        assert told is not None
        return any(one.deviating for one in told.series if one.kind is SeriesKind.ERROR_RATE)


@pytest.mark.parametrize(("requests", "errors", "panes"), [(10, 6, 6), (5, 5, 4), (3, 3, 4)])
def test_a_fault_of_most_requests_is_over_after_a_few_that_are_well(requests: int, errors: int, panes: int) -> None:
    """That two in a hundred no longer fail takes hundreds of requests to prove; nobody asks for that."""
    run = Run(requests)
    assert [run.alarms(errors) for _ in range(12)][-1]
    assert [run.alarms(0) for _ in range(panes)][-1] is False


def test_a_fault_of_some_requests_is_not_over_in_a_pane_that_has_none_of_them() -> None:
    """One in five of five requests fails: every third pane is well by chance, and says nothing about a fault of all."""
    for seed in range(5):
        run, chance = Run(5), np.random.default_rng(seed)
        told = [run.alarms(int(chance.binomial(5, 0.2))) for _ in range(60)]
        begun = told.index(True)
        assert sum(told[begun:]) >= 0.9 * len(told[begun:])
