"""One pane of one service being judged against its own past; what is learned from it: `streams.baselines.lesson`."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import NodeKind, ServiceHealth
from streams.baselines import evidence
from streams.baselines.config import BaselineConfig
from streams.baselines.history import Cells, Table
from streams.baselines.hour_cells import Usual
from streams.baselines.hour_notes import PER_MILLE
from streams.baselines.kernels import center
from streams.baselines.lesson import Lesson, becomes_normal
from streams.baselines.levels import Traffic, is_wait, judge_levels
from streams.baselines.measures import RATE_KEY, Measures, Ratio, SeriesKey, calls_by_operation
from streams.baselines.normals import known_panes
from streams.baselines.state import BaselineState
from streams.baselines.stops import Calls

Floats = NDArray[np.float64]
Unit = Literal["ms", "ratio", "per_s"]
_LOGS = SeriesKey(SeriesKind.LOG_ERRORS)
_RATE = SeriesKey(SeriesKind.REQUEST_RATE)
_ERRORS = SeriesKey(SeriesKind.ERROR_RATE)
_ROUNDING = 1e-9
"""Evidence of six panes that argue with a sixth of an alarm is one."""


class _Hours(NamedTuple):
    """What the hour of the week has to do with a score: whether its cell is reliable, and whether it is the normal."""

    reliable: bool = False
    decide: bool = False


class Judgement:
    """One pane being judged: reads the memory, fills a snapshot, then teaches the memory."""

    def __init__(
        self, config: BaselineConfig, memory: BaselineState, health: ServiceHealth, measures: Measures
    ) -> None:
        self.config = config
        self.memory = memory
        self.history = memory.history
        self.health = health
        self.measures = measures
        self.pane_ns = health.pane_start_ns
        self.width = min(self.history.columns_before(self.pane_ns), config.history_panes)
        self.past = memory.before(self.pane_ns)
        stale = self._stale()
        self.cut_off = self._cut_off(stale)
        for packed in stale:  # a hole proves nothing, either way
            self.past = self.past.without(packed)
        self.now = self.past.copied(self.pane_ns, health.revision)
        self.now.fingerprint = measures.fingerprint()
        self.hours_ready = memory.hours.are_ready(self.pane_ns)
        self._listen()
        memory.newcomers.see(calls_by_operation(health), self.pane_ns)

    def _stale(self) -> list[str]:
        """Return the series with evidence that were not measured for long."""
        oldest_ns = self.pane_ns - int(self.config.stale_s * 1e9)
        return [key for key, heard in self.past.heard_ns.items() if heard < oldest_ns]

    def _cut_off(self, stale: list[str]) -> dict[str, int]:
        """Return the series that were under suspicion when silence came, and the start of the suspicion.

        Only while the service is learning: later on a few panes make no normal, and what comes in bursts is learned.
        """
        if self.width >= self.config.reliable_panes:
            return {}
        least = self.config.mask * self.config.alarm
        suspects = [key for key in stale if self.past.largest(key) >= least]
        return {key: since_ns for key in suspects if (since_ns := self.past.since_ns(key)) is not None}

    def _listen(self) -> None:
        """Decide what silence in the logs means: no error, or no logs at all from a service that usually writes."""
        self.now.talkative = self.past.talkative or self.measures.has_plain_logs
        if self.now.talkative and not self.measures.has_plain_logs and not self.measures.log_failures:
            self.measures.ratios.pop(_LOGS, None)

    def judge(self) -> list[SeriesScore]:
        """Score every series that has a baseline."""
        scores = self._levels() + self._ratios() + self._calls()
        traffic = self._traffic()
        return [*scores, traffic] if traffic else scores

    def learn(self) -> None:
        """Add the pane to the baseline, except the series that are under suspicion."""
        Lesson(self.config, self.memory, self.health, self.measures, self.past, self.now).learn(self.cut_off)

    def _past_of(self, table: Table, keys: list[SeriesKey]) -> tuple[Cells, Cells]:
        """Return what judges these series (series x 2 x panes): the panes before this one, and before their episodes.

        While evidence grows, normal is what was before it began; for ten minutes at most, lest a drift freezes it,
        and not on the word of a few panes, unless they say what is believed: of a ratio, that no request fails. What
        is kept of an episode stands in once more of it has left the history than is still there.

        Also return the service's requests in those panes; NaN = unknown.
        """
        names = [key.packed() for key in keys]
        past = self.history.past(table, names, self.pane_ns, self.config.history_panes)
        longest_ns = self.pane_ns - int(self.config.freeze_s * 1e9)
        first = self.history.columns_before(self.pane_ns) - past.shape[2]
        for row, name in enumerate(names):
            since = self.past.since_ns(name)
            if since is None:
                continue
            end = max(self.history.columns_before(max(since, longest_ns)) - first, 0)
            if self._is_known(table, past[row, :, :end]) or self._is_newcomer(keys[row]):
                past[row, :, end:] = table.nothing
        traffic = self.history.traffic_before(self.pane_ns, self.config.history_panes)
        return past, self.memory.normals.fill(past, traffic, names, self.pane_ns, table.nothing)

    def _is_known(self, table: Table, before: Cells) -> bool:
        """Tell whether panes (2 x panes) are enough to say what is normal."""
        seen = known_panes(before)
        if seen >= self.config.freeze_panes or table is not self.history.ratios:
            return seen >= self.config.freeze_panes
        hits, trials = before.sum(axis=1).tolist()
        return bool(hits == 0 and trials >= self.config.freeze_clean_requests)

    def _usual(self, keys: list[SeriesKey], *, lowest: bool = False) -> Usual | None:
        """Return what is usual for these series at this hour of the week, if that is known."""
        if not self.hours_ready:
            return None
        return self.memory.hours.usual([key.packed() for key in keys], self.pane_ns, lowest=lowest)

    def _levels(self) -> list[SeriesScore]:
        levels = self.measures.levels
        past, requests = self._past_of(self.history.levels, list(levels))
        is_new = self.width < self.config.new_panes
        usual = self._usual(list(levels))
        keys = set() if usual is None else {key for key, known in zip(levels, usual.known, strict=True) if known}
        reliable = keys | {key.pool for key in keys}
        scores = []
        traffic = Traffic(self.measures.requests, requests)
        for one in judge_levels(levels, past, self.past.levels, self.past.active, is_new, self.config, traffic, usual):
            self.now.levels[one.key.packed()] = one.sums
            sums = [total for track in one.sums for total in track]
            if is_wait(one.key) and one.score < self.config.levels[0] and not any(sums):
                self._follow(one.key.packed(), sums)
                continue  # it does not wait longer: there are many of these
            hours = _Hours(one.key in reliable, one.by_hour)
            scores.append(
                self._score(
                    one.key, one.value_ms, one.median_ms, one.scale_ms, one.score, "ms", one.requests, sums, hours
                )
            )
        return scores

    def _ratios(self) -> list[SeriesScore]:
        """Judge the ratios: failed requests from the first pane on, by what is believed; others once known.

        Of error logs less is believed: services write them for many reasons, some with every other request. So do
        operations fail by habit, and rare ones are hardly known; what the service does is believed of them.
        """
        keys, ratios = list(self.measures.ratios), list(self.measures.ratios.values())
        if not keys:
            return []
        past = self._past_of(self.history.ratios, keys)[0].sum(axis=2, dtype=float)
        of_operation = np.array([key.operation is not None for key in keys])
        believed = np.array([key.kind is not SeriesKind.LOG_ERRORS for key in keys]) & ~of_operation
        belief = self._belief_left(keys, past)
        weight = past[:, 1] + belief * np.where(believed, self.config.ratio_prior_trials, self.config.log_prior_trials)
        mean = (past[:, 0] + belief * self.config.ratio_prior_hits) / weight
        if of_operation.any():
            of_service = float(mean[keys.index(_ERRORS)]) if _ERRORS in keys else 0.0
            weight, mean = self._of_operations(past, of_operation, belief, weight, mean, of_service)
        usual = self._usual(keys)
        hourly = np.full(len(keys), np.nan) if usual is None else usual.values[:, 0] / PER_MILLE
        hours = [_Hours(*row) for row in zip(~np.isnan(hourly), hourly > mean, strict=True)]
        mean = np.fmax(mean, hourly)
        normal = evidence.usual_ratios(mean, weight, of_operation)
        measured = np.array(ratios, dtype=float)
        clean = (past[:, 0] == 0) & (past[:, 1] >= self.config.freeze_clean_requests)
        learned = (past[:, 1] > 0) & (clean | (self.width >= self.config.min_panes))
        suspected = np.array([key.packed() in self.past.starts_ns for key in keys])
        new = np.array([key.operation is not None and self._is_newcomer(key) for key in keys])
        known = suspected | new | (past[:, 1] >= self.config.operation_known_requests)
        learned = np.where(of_operation, known, learned)
        trials = np.where(learned | believed, measured[:, 1], 0.0)
        fresh = [0.0] * len(evidence.RATIO_RISES)
        sums = np.array([self.past.ratios.get(key.packed(), fresh) for key in keys])
        active = np.array([key.packed() in self.past.active for key in keys])
        least = np.where(new, self.config.newcomer_least_panes, self.config.operation_least_panes) * of_operation
        after = evidence.gather_ratios(sums, measured[:, 0], trials, normal, active, least, self.config)
        scores = []
        for row, key in enumerate(keys):
            self.now.ratios[key.packed()] = after[row].tolist()
            if of_operation[row] and not (ratios[row].hits or suspected[row] or after[row].any()):
                continue  # nothing failed: there are many of these
            if trials[row]:
                told = self._ratio_score(key, ratios[row], float(mean[row]), after[row].tolist(), hours[row])
                scores.append(told.model_copy(update={"newcomer": True}) if new[row] else told)
        return scores

    def _is_newcomer(self, key: SeriesKey) -> bool:
        """Tell whether an operation was never called before this pane, or is under suspicion since its first one.

        So that none is new but to a service whose operations are known.
        """
        began_ns = self.memory.newcomers.began_ns(key.operation) if key.operation else None
        since_ns = self.past.since_ns(key.packed())
        is_first = began_ns == self.pane_ns and self.width >= self.config.history_panes
        return began_ns is not None and (is_first or since_ns == began_ns)

    def _belief_left(self, keys: list[SeriesKey], past: Floats) -> Floats:
        """Return by ratio which share of the belief counts. Who fails no more is believed again."""
        for key, (hits, trials) in zip(keys, past, strict=True):
            if trials and not hits:
                self.now.refuted.discard(key.packed())
        is_refuted = [key.packed() in self.now.refuted for key in keys]
        return np.where(is_refuted, self.config.refuted_share, 1.0)

    def _of_operations(
        self, past: Floats, of_operation: NDArray[np.bool_], belief: Floats, weight: Floats, mean: Floats,
        of_service: float,
    ) -> tuple[Floats, Floats]:  # fmt: skip
        """Return weight and mean of all ratios, where those of operations rest on their own past as soon as may be."""
        prior = self.config.operation_prior_trials * belief
        share = max(self.config.ratio_prior_hits / self.config.ratio_prior_trials, of_service)
        own = past[:, 1] + prior
        return np.where(of_operation, own, weight), np.where(of_operation, (past[:, 0] + prior * share) / own, mean)

    def _ratio_score(
        self, key: SeriesKey, ratio: Ratio, mean: float, sums: list[float], hours: _Hours
    ) -> SeriesScore:  # fmt: skip
        scale = max(float(np.sqrt(mean * (1 - mean) / ratio.trials)), 0.01)
        value = ratio.hits / ratio.trials
        return self._score(key, value, mean, scale, (value - mean) / scale, "ratio", ratio.trials, sums, hours)

    def _traffic(self) -> SeriesScore | None:
        counts = self.history.past_requests(RATE_KEY, self.pane_ns, self.config.history_panes)
        kept = self.memory.normals.before(RATE_KEY, self.pane_ns)
        if kept is not None and kept.cells.shape[1] > counts.size:
            counts = kept.cells[0]
        if counts.size < self.config.min_panes or self.health.node_kind is NodeKind.CLIENT:
            return None
        normal, spread = center(counts)
        quiet = self._usual([_RATE], lowest=True)
        hours = _Hours() if quiet is None else _Hours(True, bool(quiet.values[0, 0] < normal))
        if quiet is not None and hours.decide:
            normal = float(quiet.values[0, 0])
        requests = self.measures.requests
        self.now.drop, score = evidence.gather_drop(self.past.drop, requests, normal, spread, self.config)
        scale = max(spread, float(np.sqrt(normal)), 1.0) / self.health.pane_s
        rate, usual = requests / self.health.pane_s, normal / self.health.pane_s
        return self._score(_RATE, rate, usual, scale, score, "per_s", requests, [self.now.drop], hours)

    def _calls(self) -> list[SeriesScore]:
        """Judge the operations that get fewer calls than usual while the service goes on; told are clear ones."""
        if self.health.node_kind is not NodeKind.SERVICE:
            return []
        requests, now = self.measures.requests, calls_by_operation(self.health)
        calls = Calls(self.history, self.pane_ns, now, requests, self.config.history_panes)
        scores, pane_s = [], self.health.pane_s
        for one in calls.missing(self.past, self.config):
            packed = one.key.packed()
            self.now.ratios[packed], self.now.usual_calls[packed] = [one.total], [*one.usual]
            scale = max(float(np.sqrt(one.expected)), 1.0) / pane_s
            score = self._score(
                one.key, one.calls / pane_s, one.expected / pane_s, scale, one.score, "per_s", round(one.expected),
                [one.total], _Hours(),
            )  # fmt: skip
            scores += [score] if score.evidence >= self.config.mask or score.deviating else []
        return scores

    def _score(
        self, key: SeriesKey, value: float, median: float, scale: float, score: float, unit: Unit, requests: int,
        sums: list[float], hours: _Hours,
    ) -> SeriesScore:  # fmt: skip
        packed = key.packed()
        self._follow(packed, sums)
        return SeriesScore(
            kind=key.kind, operation=key.operation, edge_client=key.client, value=round(value, 6),
            median=round(median, 6), scale=round(scale, 6), score=round(score, 3), unit=unit, requests=requests,
            evidence=round(max(sums) / self.config.alarm, 4), deviating=packed in self.now.active,
            since_ns=self.now.since_ns(packed), hour_of_week="reliable" if hours.reliable else "learning",
            judged_by="hour_of_week" if hours.decide else "trailing",
            accepted=becomes_normal(packed, self.past, self.now, self.pane_ns, self.config),
        )  # fmt: skip

    def _follow(self, packed: str, sums: list[float]) -> None:
        """Start, keep or end the episode of a series (hysteresis). It began where its largest sum left zero.

        One that ends takes its evidence along: what is left of it neither begins nor dates the next one.
        """
        total = self.now.totals[packed] = max(sums)
        if total <= 0.0:
            self.now.starts_ns.pop(packed, None)
            self.now.heard_ns.pop(packed, None)
        else:
            before = self.past.starts_ns.get(packed, [0] * len(sums))
            starts = [(start or self.pane_ns) if s > 0 else 0 for s, start in zip(sums, before, strict=True)]
            lead = starts[sums.index(total)]
            self.now.starts_ns[packed] = starts
            self.now.leads_ns[packed] = lead
            self.now.heard_ns[packed] = self.pane_ns
        if total >= self.config.alarm - _ROUNDING:
            self.now.active.add(packed)
        elif packed in self.now.active and total < self.config.release * self.config.alarm:
            self.now.drop_evidence(packed)
