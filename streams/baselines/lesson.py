"""What a service's memory learns from a pane that was judged, and what it unlearns."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.deviations import SeriesKind
from schemas.health import ServiceHealth
from streams.baselines.betterment import better_levels, better_ratios
from streams.baselines.config import BaselineConfig
from streams.baselines.measures import Measures, SeriesKey
from streams.baselines.state import BaselineState, Snapshot

_LOGS = SeriesKey(SeriesKind.LOG_ERRORS)
_RATE = SeriesKey(SeriesKind.REQUEST_RATE)
_EVER_NS = -(2**62)


class Lesson:
    """One judged pane: `past` and `now` are the snapshots before it and after it."""

    def __init__(
        self, config: BaselineConfig, memory: BaselineState, health: ServiceHealth, measures: Measures,
        past: Snapshot, now: Snapshot,
    ) -> None:  # fmt: skip
        self.config = config
        self.memory = memory
        self.history = memory.history
        self.health = health
        self.measures = measures
        self.pane_ns = health.pane_start_ns
        self.past = past
        self.now = now

    def learn(self, cut_off: Mapping[str, int]) -> None:
        """Add the pane to the baseline, except the series that are under suspicion.

        `cut_off` are those that were when silence came, with the start of the suspicion.
        """
        self.history.forget_erasures_of(self.pane_ns)
        self.memory.normals.forget_of(self.pane_ns)
        levels = {
            key.packed(): level[:2]
            for key, level in self.measures.levels.items()
            if not self._is_suspect(key) and not self._is_suspect(key.pool)
        }
        ratios = {key.packed(): ratio for key, ratio in self.measures.ratios.items() if not self._is_suspect(key)}
        if self.measures.requests or self.health.window.requests or ratios:
            requests = float("nan") if self._is_suspect(_RATE) else float(self.measures.requests)
            self.history.write(self.pane_ns, requests, levels, ratios)
        self._unlearn(cut_off)
        self._count_masked()
        for table in (
            better_levels(self.history, list(levels), self.pane_ns, self.config),
            better_ratios(self.history, list(ratios), self.pane_ns, self.config),
        ):
            for name, since_ns in list(table):
                self._erase(name, _EVER_NS, since_ns)
        self._keep_normals()
        self._accept_new_normals()
        self.memory.notes.write(self.pane_ns, self.measures, self.memory.hours.config.max_series)
        self.memory.remember(self.now, self.health.pane_s, self.config)

    def _erase(self, name: str, first_ns: int, end_ns: int) -> None:
        self.memory.erase(self.pane_ns, name, first_ns, end_ns)

    def _is_suspect(self, key: SeriesKey) -> bool:
        packed = key.packed()
        return packed in self.now.active or self.now.totals.get(packed, 0.0) >= self.config.mask * self.config.alarm

    def _unlearn(self, cut_off: Mapping[str, int]) -> None:
        """Take what was learned since the beginning of an episode back, once it turns out to be one.

        Also what was learned of a suspect before silence cut its evidence off: it was not refuted, so it is no normal.
        Error logs of a service that turns out to be talkative: its silent panes were no error-free ones.
        """
        for packed, since_ns in cut_off.items():
            self._erase(packed, since_ns, self.pane_ns)
        for packed in self.now.active - self.past.active:
            self._erase(packed, self.now.since_ns(packed) or self.pane_ns, self.pane_ns + 1)
        if self.now.talkative and not self.past.talkative:
            self._erase(_LOGS.packed(), _EVER_NS, self.pane_ns)

    def _keep_normals(self) -> None:
        """Keep what was normal before an episode with it: its panes leave the history while it lasts."""
        for key in self.now.active:
            for name in self.memory.members(key):
                self.memory.keep_normal(self.pane_ns, name, self.config)
        self.memory.release_normals(self.pane_ns, self.now.active, self.config)

    def _count_masked(self) -> None:
        """Count what is not learned of ratios: it becomes normal if it lasts. Panes fade as new ones come."""
        fading = 1.0 - 1.0 / self.config.kept_panes
        for key, ratio in self.measures.ratios.items():
            hits, trials = self.now.masked.pop(key.packed(), (0.0, 0.0))
            if self._is_suspect(key):
                self.now.masked[key.packed()] = [hits * fading + ratio.hits, trials * fading + ratio.trials]

    def _accept_new_normals(self) -> None:
        """End episodes that have lasted too long: levels are learned anew, a ratio is what it was of late.

        What is believed of the ratio is refuted by then, and no longer held against it.
        """
        for key in [k for k in self.now.active if becomes_normal(k, self.past, self.now, self.pane_ns, self.config)]:
            hits, trials = self.now.masked.get(key, (0.0, 0.0))
            self._erase(key, _EVER_NS, self.pane_ns if trials else self.pane_ns + 1)
            if trials:
                self.history.put_ratio(self.pane_ns, key, hits, trials)
                self.now.refuted.add(key)
            for name in self.memory.members(key):
                self.memory.normals.release(self.pane_ns, name)
            self.now.drop_evidence(key)
        self.now.refuted &= self.history.ratios.rows.keys()


def becomes_normal(key: str, past: Snapshot, now: Snapshot, pane_ns: int, config: BaselineConfig) -> bool:
    """Tell whether a series that is judged in this pane has deviated for so long that it has a new normal."""
    since_ns = now.since_ns(key)
    lasts = key in past.active and key in now.active and key in now.totals
    return lasts and since_ns is not None and pane_ns - since_ns > config.rebaseline_s * 1e9
