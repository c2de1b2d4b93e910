"""A service that is hardly known: what few requests say, and what is believed, is its normal while it fails."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.deviations import SeriesKind
from schemas.health import ServiceHealth
from streams.baselines import BaselineFold, BaselineState
from tests.made_health import health


class Run:
    """A service that says a line for each request, and an error line for some; a pane after the other."""

    def __init__(self) -> None:
        self._fold, self._state, self._pane = BaselineFold(), BaselineState(), -1

    def alarms(self, requests: int, failing: int) -> bool:
        """Step one pane; tell whether error logs are an alarm then."""
        self._pane += 1
        told, _ = self._fold.advance(self._state, _picture(self._pane, requests, failing))
        assert told is not None
        return any(one.deviating for one in told.series if one.kind is SeriesKind.LOG_ERRORS)


def _picture(pane: int, requests: int, failing: int) -> ServiceHealth:
    logs = {"info": requests, "error": failing}
    written = {name: lines for name, lines in logs.items() if lines}
    return health("codes", pane, requests, logs=written, window_requests=6)


def _failures_until_an_alarm(clean: list[int], failures: list[int]) -> int | None:
    """Return in how many panes of these, whose requests all fail, the clean ones before become an alarm."""
    run = Run()
    assert not any(run.alarms(requests, 0) for requests in clean)
    return next((panes for panes, requests in enumerate(failures, 1) if run.alarms(requests, requests)), None)


def test_a_fault_of_every_request_is_an_alarm_though_few_came_before_it() -> None:
    """Three requests, one in two panes, two in another, were well; of the next seven none is."""
    assert _failures_until_an_alarm([1, 0, 0, 2], [1, 3, 0, 1, 1, 1]) == 6


def test_it_is_an_alarm_wherever_the_edges_of_panes_fall() -> None:
    """The same requests, with the three that were well in two panes: few panes are no reason to learn a fault."""
    assert _failures_until_an_alarm([1, 2], [1, 3, 0, 1, 1, 1]) == 6


def test_two_requests_that_were_well_are_no_normal() -> None:
    """A coin gives as much."""
    assert _failures_until_an_alarm([1, 0, 0, 1], [1, 3, 0, 1, 1, 1]) is None


def test_that_every_request_fails_is_seen_before_as_many_prove_that_half_of_them_do() -> None:
    """Six requests were well. Seven that fail are enough; a change to one in two is proved by nine."""
    assert _failures_until_an_alarm([1] * 6, [1] * 12) == 7


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.0])
def test_who_logs_errors_with_so_many_requests_from_the_first_on_is_calm(share: float) -> None:
    """A habit is no fault: what few requests say is held against nobody who begins with an error."""
    for seed in range(4):
        run, noise = Run(), np.random.default_rng(seed)
        assert not run.alarms(1, 1)
        for _ in range(40):
            requests = int(noise.poisson(1))
            assert not run.alarms(requests, int(noise.binomial(requests, share))), (seed, share)
