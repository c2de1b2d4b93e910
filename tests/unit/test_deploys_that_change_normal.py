"""A deploy that makes a service different, and is no incident: when is the new pace the normal?"""

from __future__ import annotations

import numpy as np

from streams.judging import JudgeFold, JudgeMemory
from tests.made_health import health

CALM = 200
TEN_MINUTES = 60


class Service:
    """Own time by pane, judged by the default configuration."""

    def __init__(self) -> None:
        self.fold, self.memory = JudgeFold(), JudgeMemory()
        self.noise, self.pane = np.random.default_rng(3), 0

    def live(self, panes: int, own_ms: float) -> list[bool]:
        """Let panes pass; tell of each whether anything deviates."""
        flags = []
        for _ in range(panes):
            noise = float(self.noise.uniform(0.95, 1.05))
            found = self.fold.advance(self.memory, health("cart", self.pane, own_ms=own_ms * noise))
            flags.append(found is not None and any(one.deviating for one in found.series))
            self.pane += 1
        return flags


def test_a_harmless_step_up_is_learned_in_ten_minutes_and_what_is_worse_than_it_is_an_alarm() -> None:
    """A fifth more is no alarm, and two and a half times the new pace is one soon."""
    service = Service()
    service.live(CALM, 100)
    assert not any(service.live(TEN_MINUTES + 1, 120))
    assert any(service.live(6, 300))


def test_twenty_minutes_after_a_deploy_that_made_it_faster_the_old_pace_is_an_alarm_at_once() -> None:
    """Nothing is left of the time before it."""
    service = Service()
    service.live(CALM, 300)
    assert not any(service.live(2 * TEN_MINUTES, 100))
    assert any(service.live(3, 300))
