"""The settings of the baselines. One configuration serves every system; nothing here knows a service."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from schemas.settings import Settings

FEW_SERIES = 8
"""A service with one operation and one caller has so many series; less is not counted."""
SERIES_SHARE = 0.8
"""Share of a service's false alarms that its series may make; the rest is its instances' (`streams.siblings`)."""


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """How normal is learned and when it is left. Durations in seconds, latencies in milliseconds."""

    history_panes: int = 120
    """Trailing panes with traffic that make the baseline (20 minutes of 10 s panes)."""
    min_panes: int = 4
    """Panes a latency needs before it is judged by its own past."""
    prior_gap_ms: float = 5.0
    prior_gap_scale_ms: float = 100.0
    """What is believed of the gap of requests in the first panes of a service: seconds are never normal ..."""
    prior_track_widths: tuple[float, float] = (1.0, 100.0)
    """... for most of them (median); a few (95th percentile) may well take that long."""
    new_panes: int = 12
    """So many panes a service is new."""
    reliable_panes: int = 24
    """Panes after which the service counts as ``reliable``: the scale is inflated by a quarter at most then."""
    young_inflation: float = 6.0
    """The scale is multiplied by 1 + this / panes: a median of few panes may be far off."""

    relative_floor: float = 0.10
    """The scale is never below this share of the median."""
    request_spread: float = 0.5
    """Nor below what chance makes of a quantile of so few requests, whose logarithms spread by this much."""
    latency_floor_ms: float = 2.0
    """The scale of a latency is never below this: nobody is paged for a millisecond."""
    own_time_floor_ms: float = 5.0
    """The same for own time, which scheduling and garbage collection move."""
    sketch_bin: float = 0.032
    """Relative width of one latency bin (5 mantissa bits)."""

    levels: tuple[float, ...] = (5.0, 12.0, 40.0, 150.0)
    """How many scales above normal counts as raised, strongly raised, far out."""
    level_priors: tuple[float, ...] = (0.10, 0.03, 0.01, 0.003)
    """Prior belief how often a calm pane is at or above each level: worth `level_prior_panes` panes."""
    level_prior_panes: float = 10.0
    level_expected: float = 0.8
    """How often panes exceed a level while something is wrong."""
    full_requests: int = 3
    """Requests that must be off at once for a quantile to count fully."""
    pane_limit: float = 8.0
    """One pane cannot argue with more than this."""
    drop_allowance: float = 2.0
    """Scales by which traffic must fall short to count as evidence."""
    alarm: float = 12.0
    """Gathered evidence that is an alarm, of a service with few series. Larger is calmer."""
    margin: float = 0.0
    """What `alarm` is above that of a service with few series."""
    ceiling: float = 1.3
    """Evidence is capped at this many alarms, so recovery is seen soon."""
    release: float = 0.3
    """An alarm ends when evidence falls below this share of `alarm` (hysteresis)."""
    mask: float = 0.5
    """Panes with evidence of this share of `alarm` are not learned; when it becomes one, those before are unlearned."""
    freeze_s: float = 600.0
    """While evidence grows a series is judged by what was before it began; by panes up to this old at least ..."""
    freeze_panes: int = 8
    """... provided that these are at least so many with data, ..."""
    freeze_clean_requests: int = 3
    """... or that so many requests were measured and none failed. Belief stands in for the rest; who fails half of his
    requests by habit begins like that once in eight times."""
    stale_s: float = 140.0
    """Evidence of a series that was not measured for this long is void: unmeasured time proves nothing."""
    paced_panes: int = 6
    """The last panes with requests, by which it is known how rare they are."""
    waited_pauses: float = 4.0
    """Where requests are rare, evidence waits for so many of their usual pauses before it is void ..."""
    longest_wait_s: float = 3600.0
    """... and no longer than this; nor does an incident of such a service."""
    better_panes: int = 5
    """Panes in a row that must be clearly better before what was worse is forgotten."""
    better_requests: int = 100
    """Requests that those panes must have between them."""
    better_until_panes: int = 60
    """A baseline that knows more panes than this forgets nothing in favour of better ones."""
    better_chance: float = 1e-4
    """Chance below which the end of failures is believed."""
    rebaseline_s: float = 3600.0
    """A series that deviates longer than this has a new normal: it is learned again."""
    kept_panes: int = 60
    """Known panes of the normal that is kept while a series deviates: its own leave the history meanwhile."""

    ratio_prior_hits: float = 1.0
    ratio_prior_trials: float = 20.0
    """Prior belief about a ratio (5 %), worth twenty requests ..."""
    log_prior_trials: float = 10.0
    """... of requests with an error log (10 %) only worth ten."""
    refuted_share: float = 0.05
    """So much of the belief is left once failures have become normal against it."""
    operation_known_requests: int = 12
    """Of failures of an operation nothing is said before so many of its requests are known ..."""
    operation_prior_trials: float = 5.0
    """... as what is believed of it, or the service's own past where that is worse, is worth no more than these: who
    fails always fails by habit."""
    operation_least_panes: float = 3.0
    """An alarm of an operation takes so many panes at least: for twenty seconds one user may be all it has."""
    newcomer_least_panes: float = 6.0
    """... and of one that fails from its first request on so many: a minute."""
    calls_known: int = 60
    """An operation may be missed that was called so often ..."""
    calls_known_panes: int = 90
    """... in the panes of before, which must be so many: a job of some minutes may end."""
    calls_least_panes: float = 6.0
    """It takes so many panes without calls at least to be told."""
    max_edges: int = 16
    """Incoming edges with series of their own; the busiest ones are kept."""
    max_operations: int = 12
    """Operations whose own time, time, failures and calls are followed; the busiest ones are kept."""
    max_level_series: int = 60
    max_ratio_series: int = 36
    """Series in the state; of more, those measured longest ago are forgotten."""
    kept_snapshots: int = 8
    """Panes back that can be stepped again with the same outcome."""

    @property
    def operation_worth(self) -> float:
        """What evidence about one of many operations is worth: these have the margin of twelve at least."""
        return self.alarm / (self.alarm + max(math.log(self.max_operations) - self.margin, 0.0))

    def bounds_of(self, series: int, patience: int = 1) -> BaselineConfig:
        """Return the bounds of a service with so many series, which share its false alarms (Bonferroni).

        All that bounds evidence in time is `patience` times as long (`streams.baselines.pace`).
        """
        margin = math.log(max(series, FEW_SERIES) / FEW_SERIES)
        return replace(
            self, alarm=self.alarm - self.margin + margin, margin=margin, stale_s=self.stale_s * patience,
            freeze_s=self.freeze_s * patience, rebaseline_s=self.rebaseline_s * patience,
        )  # fmt: skip

    @staticmethod
    def from_settings(settings: Settings) -> BaselineConfig:
        """Take what an operator can set. History is kept in time, whatever the pane's length, and so is reliability.

        Other counts of panes are counts: they are of evidence, which comes by pane.
        """
        factor = 10.0 / settings.pane_s
        plain = BaselineConfig()
        return replace(
            plain,
            history_panes=max(20, round(plain.history_panes * factor)),
            reliable_panes=max(10, round(plain.reliable_panes * factor)),
            calls_known_panes=max(15, round(plain.calls_known_panes * factor)),
            alarm=alarm_for(settings.false_alarms_per_day, settings.pane_s),
        )


def alarm_for(false_alarms_per_day: float, pane_s: int) -> float:
    """Return the evidence at which the few series of a small service make at most so many alarms a day, by chance.

    A cumulative sum of log-likelihood ratios with the limit h runs for at least exp(h) panes on average before a false
    alarm (Lorden, "Procedures for reacting to a change in distribution", Ann. Math. Statist. 42, 1971). Where m series
    share the false alarms, each has log(m) more to gather; that holds however they depend on each other (Bonferroni;
    Mei, "Efficient scalable schemes for monitoring a large number of data streams", Biometrika 97, 2010).
    """
    return math.log(86_400 / pane_s * FEW_SERIES / (SERIES_SHARE * false_alarms_per_day))
