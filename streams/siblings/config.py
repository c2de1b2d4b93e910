"""The settings of the comparison of instances. Times in seconds, latencies in milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from streams.baselines.config import BaselineConfig

_COUNTED = 50
"""Instances of a service that a pane counts: so many sums may alarm by chance, of each kind. Of two kinds that is a
quarter of what the series of the service may (`streams.baselines.config.SERIES_SHARE`)."""
_PANE_LIMIT = 6.0


def _of_many(plain: BaselineConfig) -> BaselineConfig:
    """Return the bounds of evidence where each of many instances has sums of its own (Bonferroni).

    One pane argues less: a pause of a few seconds makes all requests of an instance slow, and is over.
    """
    return replace(plain, alarm=plain.alarm + math.log(_COUNTED), pane_limit=_PANE_LIMIT)


@dataclass(frozen=True, slots=True)
class SiblingConfig:
    """When an instance is slower than its siblings, or fails more; kinds as in `streams.siblings.kinds`."""

    evidence: BaselineConfig = field(default_factory=lambda: _of_many(BaselineConfig()))
    """The bounds of sums (`alarm`, `pane_limit`, `ceiling`, `release`), and how long silence leaves them."""
    above: float = 1.25
    """A request is slow when it takes this many times the usual 95th percentile of the service, ..."""
    above_ms: float = 10.0
    """... and so much longer at least: nobody is paged for a few milliseconds."""
    line_falls_s: float = 3600.0
    """What counts as slow falls with this time constant only: when most instances get faster, the rest is not slow."""
    least_beside: int = 5
    """Requests of the siblings in a pane without which nothing is compared."""
    warm_up_s: tuple[float, float] = (180.0, 90.0)
    """By kind: so long after its first request an instance is not judged, nor is it learned. Caches fill and code is
    compiled, so the first ones are slow; fewer of them fail, and for a shorter time."""
    founding_s: float = 60.0
    """Who comes this soon after the first instance was there from the beginning: learned before it is judged ..."""
    founding_requests: float = 12.0
    """... by this many requests."""
    habit_s: float = 3600.0
    """Time constant of what is learned of an instance."""
    habit_prior_requests: float = 10.0
    """What the belief about an instance is worth."""
    worst_s: float = 86_400.0
    """Time constant of the worst habit of any instance: none is told for what one of its siblings does by habit."""
    belief: tuple[float, float] = (0.05, 0.01)
    """By kind: their share before anything is known. What lies above a 95th percentile is slow; few requests fail."""
    beside_prior_hits: tuple[float, float] = (1.0, 0.1)
    """By kind: hits of two requests that are believed of siblings, beside those that they have in the pane."""
    freeze_s: float = 600.0
    """A suspicion that grows for longer without an alarm is learned."""
    accept_s: float = 3600.0
    """An instance that deviates longer than this has a new habit."""
    missed_requests: float = 8.0
    """An instance that missed so many requests and comes back was started again, and warms up."""
    forget_s: float = 3600.0
    """Instances not heard of for this long are forgotten; deploys bring others."""
    max_instances: int = 120
    told: float = 0.5
    """Series with less than this share of an alarm are not told, ..."""
    max_told: int = 5
    """... nor are more than so many of a service and a kind."""
    kept_snapshots: int = 8
    """Panes back that can be stepped again with the same outcome."""

    @staticmethod
    def of(baselines: BaselineConfig) -> SiblingConfig:
        """Return the settings that are as sensitive as those of the baselines."""
        return SiblingConfig(evidence=_of_many(baselines), kept_snapshots=baselines.kept_snapshots)
