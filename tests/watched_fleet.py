"""The comparison of instances, stepped as the stage does: the state is kept and read back after each pane."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from schemas.deviations import SeriesScore
from schemas.health import ServiceHealth
from streams.siblings import SiblingConfig, SiblingFold, SiblingMemory
from tests.made_fleet import Fleet, Instance

CALM, RATE, USUAL_MS = 60, 20.0, 90.0


def fleet_of(count: int, seed: int = 5) -> Fleet:
    """Return a service with so many instances that are all alike."""
    return Fleet([Instance(f"cart-{number}") for number in range(count)], np.random.default_rng(seed))


class Seen:
    """A fold with its memory, which is kept and read back after each pane, and what it told."""

    def __init__(self, config: SiblingConfig | None = None) -> None:
        self.fold, self.state, self.panes = SiblingFold(config), b"", 0
        self.told: list[SeriesScore] = []

    def take(self, pictures: Iterable[ServiceHealth], usual_ms: float | None = USUAL_MS) -> list[SeriesScore]:
        """Take panes; return the alarms of all of them."""
        alarms = []
        for each in pictures:
            memory = SiblingMemory.decode(self.state)
            self.told = self.fold.advance(memory, each, usual_ms)
            alarms += [one for one in self.told if one.deviating]
            self.state = memory.encode()
        return alarms

    def run(self, fleet: Fleet, panes: int, rate: float = RATE, usual_ms: float | None = USUAL_MS) -> list[SeriesScore]:
        """Let so many panes go by; return the alarms."""
        first, self.panes = self.panes, self.panes + panes
        return self.take((fleet.pane(number, rate) for number in range(first, self.panes)), usual_ms)


def names(alarms: Iterable[SeriesScore]) -> set[str | None]:
    """Return who the alarms are of."""
    return {one.instance for one in alarms}
