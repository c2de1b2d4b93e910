"""What an incident hit in the last minute, pane by pane, and in the ten minutes before now, minute by minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streams.incidents.hits import Hits, summed

PANES = 6
_MINUTES = 9
_LEAST_REQUESTS = 50
"""Of fewer no share is told."""


@dataclass(slots=True)
class Lately:
    """The last `PANES` panes, and sums of as many each before them; oldest first."""

    panes: list[Hits] = field(default_factory=list)
    minutes: list[tuple[int, Hits]] = field(default_factory=list)
    """How many panes, and their sum; without people, who are counted by the minute."""

    def add(self, hits: Hits) -> None:
        """Take what was counted in a pane."""
        self.panes.append(hits)
        if len(self.panes) > PANES:
            self._age(self.panes.pop(0))

    def _age(self, hits: Hits) -> None:
        if not self.minutes or self.minutes[-1][0] >= PANES:
            self.minutes.append((0, Hits()))
        panes, before = self.minutes[-1]
        self.minutes[-1] = (panes + 1, before.plus(hits.without_people()))
        self.minutes = self.minutes[-_MINUTES:]

    @property
    def minute(self) -> Hits:
        """What was hit in the last minute."""
        return summed(self.panes)

    def share(self, otherwise: float) -> float:
        """Return the share of the last ten minutes, or of the last minute where that is more.

        So the mild beginning of a long incident does not water down what comes later, nor its worst minute stand for
        ever. Where too few requests came for either, `otherwise`.
        """
        minute = self.minute
        known = (minute, summed(hits for _, hits in self.minutes).plus(minute))
        return max((one.share for one in known if one.expected >= _LEAST_REQUESTS), default=otherwise)

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [[one.packed() for one in self.panes], [[panes, hits.packed()] for panes, hits in self.minutes]]

    @staticmethod
    def unpacked(body: list[Any]) -> Lately:
        """Read `packed` back."""
        panes, minutes = body
        return Lately([Hits.unpacked(one) for one in panes], [(n, Hits.unpacked(hits)) for n, hits in minutes])
