"""Operations that are not called any more while their service is: told when it is no chance, and nobody took over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import OperationHealth
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.baselines.calls import Past, usual_of
from tests.made_health import health, red

CALM = 130
USUAL = {"GET /": 100.0, "GET /list": 40.0, "POST /pay": 10.0, "GET /rare": 1.0}
"""Requests a pane."""


class Shop:
    """A service whose users come by chance, pane by pane; operations that are not called are not listed for long."""

    def __init__(self, seed: int = 5) -> None:
        self._fold, self.memory, self._pane = BaselineFold(), BaselineState(), -1
        self._chance = np.random.default_rng(seed)

    def see(self, rates: Mapping[str, float]) -> dict[str, SeriesScore]:
        """Take a pane; return the operations that are told to be called less."""
        self._pane += 1
        calls = {name: int(self._chance.poisson(rate)) for name, rate in rates.items() if rate}
        listed = [
            OperationHealth(operation=name, kind="server", pane=red(n), window=red(6 * n + 1))
            for name, n in calls.items()
        ]
        picture = health("cart", self._pane, sum(calls.values())).model_copy(update={"operations": listed})
        told, _ = self._fold.advance(self.memory, picture)
        series = told.series if told else []
        return {s.operation: s for s in series if s.kind is SeriesKind.REQUEST_RATE and s.operation}

    def panes_to_alarm(self, operation: str, most: int, rates: Callable[[int], Mapping[str, float]]) -> int | None:
        """Return how many such panes it takes until the operation is told to be called no more; no other ever is."""
        for pane in range(1, most + 1):
            found = self.see(rates(pane))
            assert not any(one.deviating for name, one in found.items() if name != operation)
            if operation in found and found[operation].deviating:
                return pane
        return None


@cache
def _calm() -> bytes:
    shop = Shop()
    assert shop.panes_to_alarm("", CALM, lambda _: USUAL) is None
    return shop.memory.encode()


def calm() -> Shop:
    """Return a shop that has been as usual for a while, as a worker finds it in the state."""
    shop = Shop()
    shop.memory, shop._pane = BaselineState.decode(_calm()), CALM - 1
    return shop


def without(*operations: str, **more: float) -> dict[str, float]:
    """Return the usual rates without some operations."""
    return {name: rate for name, rate in USUAL.items() if name not in operations} | more


def test_an_operation_that_is_not_called_any_more_is_told_after_a_minute() -> None:
    """While the service goes on."""
    shop = calm()
    assert shop.panes_to_alarm("POST /pay", 30, lambda _: without("POST /pay")) <= 7
    told = shop.see(without("POST /pay"))["POST /pay"]
    assert (told.value, told.deviating) == (0.0, True)
    assert 0.7 < told.median < 1.2


def test_a_rare_operation_is_missed_when_chance_does_not_leave_it_out_so_long() -> None:
    """One call a pane: forty expected ones are missing, and three times the longest silence there was."""
    panes = calm().panes_to_alarm("GET /rare", 80, lambda _: without("GET /rare"))
    assert panes is not None
    assert 25 <= panes <= 70


def test_it_is_told_for_an_hour_and_ends_when_it_is_called_again() -> None:
    """What was usual is remembered for so long."""
    shop = calm()
    assert shop.panes_to_alarm("POST /pay", 30, lambda _: without("POST /pay")) is not None
    assert all(shop.see(without("POST /pay"))["POST /pay"].deviating for _ in range(340))
    assert not any(one.deviating for one in [shop.see(USUAL) for _ in range(6)][-1].values())


def test_a_stop_goes_on_in_a_worker_that_is_started_again() -> None:
    """What was usual is in the state, with the evidence."""
    shop = calm()
    assert shop.panes_to_alarm("POST /pay", 30, lambda _: without("POST /pay")) is not None
    shop.memory = BaselineState.decode(shop.memory.encode())
    assert shop.see(without("POST /pay"))["POST /pay"].deviating


def test_what_lasts_for_more_than_an_hour_is_normal() -> None:
    """It is accepted, and never told again."""
    shop = calm()
    seen = [shop.see(without("POST /pay")).get("POST /pay") for _ in range(400)]
    assert any(one.accepted for one in seen if one)
    assert seen[-1] is None


def test_a_service_that_is_called_less_misses_no_operation() -> None:
    """Each has its share of what comes; of nothing at all nothing is said."""
    shop = calm()
    assert shop.panes_to_alarm("", 60, lambda _: {name: rate / 10 for name, rate in USUAL.items()}) is None
    shop = calm()
    assert shop.panes_to_alarm("", 60, lambda _: {}) is None


def test_an_operation_of_another_name_that_takes_over_is_no_stop() -> None:
    """Neither one that is new nor one that is known."""
    shop = calm()
    assert shop.panes_to_alarm("", 200, lambda _: without("POST /pay") | {"POST /v2/pay": 10.0}) is None
    shop = calm()
    assert shop.panes_to_alarm("", 200, lambda _: without("POST /pay") | {"GET /rare": 11.0}) is None


def test_a_job_of_some_minutes_may_end() -> None:
    """It was not called in most of what is known."""
    shop = calm()
    assert shop.panes_to_alarm("", 40, lambda _: USUAL | {"POST /import": 30.0}) is None
    assert shop.panes_to_alarm("", 200, lambda _: USUAL) is None


def test_what_comes_in_bursts_is_missed_later_than_what_comes_evenly() -> None:
    """A batch each three minutes: silence of twenty panes is its way."""

    def bursts(pane: int) -> dict[str, float]:
        return without("POST /pay") | ({"POST /pay": 180.0} if pane % 18 == 0 else {})

    shop = Shop()
    assert shop.panes_to_alarm("", 300, bursts) is None


def test_users_who_come_by_chance_stop_no_operation() -> None:
    """Twelve operations, rare ones among them."""
    rates = {f"op{at}": rate for at, rate in enumerate((50, 30, 20, 10, 5, 3, 2, 1, 0.7, 0.5, 0.3, 0.1))}
    assert Shop(3).panes_to_alarm("", 1000, lambda _: rates) is None


def past(*calls: int) -> Past:
    """Return panes of a hundred requests with so many calls."""
    return Past(np.array(calls, dtype=float), np.full(len(calls), 100.0))


def test_what_was_silent_for_long_is_worth_less_and_what_is_hardly_known_nothing() -> None:
    """The longest silence counts, also one that is no more than the counts scatter; a job ends within ninety panes."""
    even, config = usual_of(past(*[1] * 100), BaselineConfig()), BaselineConfig()
    silent = usual_of(past(*[1] * 50, *[0] * 20, *[1] * 50), config)
    assert even is not None
    assert silent is not None
    assert even.worth == 1.0
    assert silent.worth < 0.4
    assert usual_of(past(*[5] * 80), config) is None
    assert usual_of(past(*[0, 1] * 59), config) is None
