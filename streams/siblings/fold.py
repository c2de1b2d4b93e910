"""The operator: slow and failed requests of each instance in a pane, against its siblings' and what is habit."""

from __future__ import annotations

from schemas.deviations import SeriesScore
from schemas.health import ServiceHealth
from streams.contents import OVERFLOW_INSTANCE
from streams.siblings.comparison import Comparison
from streams.siblings.config import SiblingConfig
from streams.siblings.state import SiblingMemory
from streams.siblings.telling import series_of


class SiblingFold:
    """Compare the instances of a service. Pure: the state belongs to the caller.

    An instance is told when its share of slow, or of failed, requests is more than its siblings' in the same pane and
    more than any instance of the service has by habit. Stepping one of the last panes again, or a newer revision of it,
    judges it against what was known before it and replaces what was learned from it.
    """

    def __init__(self, config: SiblingConfig | None = None) -> None:
        self.config = config or SiblingConfig()

    def advance(self, memory: SiblingMemory, health: ServiceHealth, usual_ms: float | None) -> list[SeriesScore]:
        """Take a pane; return the series of instances that are suspected. `usual_ms` is the usual 95th percentile."""
        counted = [one for one in health.instances if one.instance != OVERFLOW_INSTANCE]
        memory.measure(health.pane_s)
        if not counted or (len(counted) < 2 and memory.before(health.pane_start_ns) is None):
            return []
        if not memory.judges(health.pane_start_ns, self.config.kept_snapshots):
            return []
        comparison = Comparison(self.config, memory, health, counted, usual_ms)
        comparison.judge()
        told = series_of(comparison)
        comparison.learn()
        memory.remember(comparison.now, self.config.kept_snapshots)
        memory.forget(comparison.ago(self.config.forget_s), self.config.max_instances)
        return told
