"""Simulated calm: how often is an ordinary day, or plain noise, taken for trouble?"""

from __future__ import annotations

import numpy as np

from schemas.deviations import ServiceDeviations
from schemas.health import ServiceHealth
from schemas.settings import Settings
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.incidents import IncidentFold
from streams.slo import Budgets, BurnRateFold
from tests.made_health import edge, health, pane_start
from tests.quiet_day import PANES_A_DAY, QuietDay

HOUR = 360
MORNING = 7 * HOUR
"""From here on the load of the made shop rises fastest."""


class Watch:
    """The judges and the incidents of one tenant."""

    def __init__(self, config: BaselineConfig | None = None) -> None:
        self._baselines, self._budgets = BaselineFold(config), BurnRateFold()
        self._memories: dict[str, BaselineState] = {}
        self._spent: dict[str, Budgets] = {}
        self._incidents = IncidentFold("quiet")
        self.opened: list[str] = []
        self.alarms = 0
        self._alarmed: set[str] = set()

    def see(self, pane: int, pictures: list[ServiceHealth]) -> None:
        """Take a pane of all services."""
        judged = [one for health in pictures for one in self._judge(health)]
        events = self._incidents.step_pane(pane_start(pane), judged, pane_start(pane + 2))
        self.opened += [f"pane {pane}: {event.title}" for event in events if event.kind == "opened"]

    def _judge(self, health: ServiceHealth) -> list[ServiceDeviations]:
        unusual, _ = self._baselines.advance(self._memories.setdefault(health.service, BaselineState()), health)
        burning, _ = self._budgets.advance(self._spent.setdefault(health.service, Budgets()), health)
        if unusual is not None:
            self._count(unusual)
        return [one for one in (unusual, burning) if one is not None]

    def _count(self, judged: ServiceDeviations) -> None:
        is_off = any(one.deviating for one in judged.series)
        self.alarms += is_off and judged.service not in self._alarmed
        (self._alarmed.add if is_off else self._alarmed.discard)(judged.service)


def test_hours_of_a_rising_morning_open_no_incident() -> None:
    """Six services, load growing eightfold, retries in bursts, errors and error logs as every day."""
    watch = Watch()
    for pane, pictures in QuietDay(seed=11).panes(2 * HOUR, MORNING):
        watch.see(pane, pictures)
    assert watch.opened == []


def test_sensitivity_says_how_many_false_alarms_a_service_has_a_day() -> None:
    """The most sensitive setting, plain noise: latencies, gaps and failures of independent requests."""
    settings = Settings(false_alarms_per_day=2.5)
    watch, noise = Watch(BaselineConfig.from_settings(settings)), np.random.default_rng(3)
    services, panes = 4, 3 * HOUR
    for pane in range(panes):
        watch.see(pane, [noisy(f"service-{number}", pane, noise) for number in range(services)])
    days = services * panes / PANES_A_DAY
    assert watch.alarms <= settings.false_alarms_per_day * days + 3 * np.sqrt(settings.false_alarms_per_day * days)


def noisy(service: str, pane: int, noise: np.random.Generator) -> ServiceHealth:
    """Return a pane of a service whose requests are all alike."""
    requests = int(noise.poisson(30)) + 1
    own_ms = float(np.median(noise.lognormal(3, 0.6, requests)))
    gap_ms = float(np.median(noise.lognormal(1, 0.6, requests)))
    errors = int(noise.binomial(requests, 0.02))
    return health(
        service, pane, requests, errors=errors, own_ms=own_ms, edges=[edge("shop", requests, gap_ms=gap_ms)],
        logs={"info": requests, "error": errors},
    )  # fmt: skip
