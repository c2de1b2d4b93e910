"""The operator: the slow requests of each instance in a pane, against its siblings' and what is habit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import InstanceHealth, ServiceHealth
from streams.latency import first_bin_over
from streams.partials import OVERFLOW_INSTANCE
from streams.siblings.config import SiblingConfig
from streams.siblings.rises import gather_slow
from streams.siblings.state import ROW, Rows, SiblingMemory, Snapshot
from streams.slo import wilson_lower

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_RATE_PANES = 30.0
_Z = 1.64


class SiblingFold:
    """Compare the instances of a service. Pure: the state belongs to the caller.

    An instance is told when its share of slow requests is more than its siblings' in the same pane and more than any
    instance of the service has by habit. Stepping one of the last panes again, or a newer revision of it, judges it
    against what was known before it and replaces what was learned from it.
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
        comparison = _Comparison(self.config, memory, health, counted, usual_ms)
        comparison.judge()
        told = comparison.series()
        comparison.learn()
        memory.remember(comparison.now, self.config.kept_snapshots)
        memory.forget(comparison.ago(self.config.forget_s), self.config.max_instances)
        return told


class _Counts(NamedTuple):
    """Requests of a pane by instance, how many of them were slow, and the same of all siblings of each."""

    requests: Floats
    slow: Floats
    beside: Floats
    beside_slow: Floats


class _Comparison:
    """One pane being judged: a copy of the rows as they stood before it is brought up to date."""

    def __init__(
        self, config: SiblingConfig, memory: SiblingMemory, health: ServiceHealth, counted: Sequence[InstanceHealth],
        usual_ms: float | None,
    ) -> None:  # fmt: skip
        self.config = config
        self.memory = memory
        self.pane_s = health.pane_s
        self.pane = memory.number_of(health.pane_start_ns)
        self.overflows = len(counted) < len(health.instances)
        before = memory.before(health.pane_start_ns)
        worst = before.worst if before else config.belief
        is_new = before is None or self.pane - memory.number_of(before.pane_ns) > self.panes(config.forget_s)
        began = self.pane if before is None or is_new else before.began
        self.now = Snapshot(health.pane_start_ns, self._rows(before, counted), worst, began)
        self.now.line_ms = self._line(before.line_ms if before else 0.0, usual_ms)
        self.counts = self._counted(counted)
        self.rows = self.now.rows
        self.heard = self.counts.requests > 0

    def panes(self, seconds: float) -> float:
        """Return a time as a number of panes."""
        return seconds / self.pane_s

    def ago(self, seconds: float) -> int:
        """Return the number of the pane so long before this one."""
        return int(self.pane - self.panes(seconds))

    def _rows(self, before: Snapshot | None, counted: Sequence[InstanceHealth]) -> Rows:
        known = set(self.memory.names)
        self.memory.names += sorted(one.instance for one in counted if one.instance not in known)
        rows = np.zeros(len(self.memory.names), ROW)
        if before is not None:
            rows[: len(before.rows)] = before.rows
        return rows

    def _line(self, before_ms: float, usual_ms: float | None) -> float:
        """Return what is slow: it rises at once with what is usual, and falls slowly."""
        if usual_ms is None:
            return before_ms
        line_ms = max(usual_ms * self.config.above, usual_ms + self.config.above_ms)
        return max(line_ms, line_ms + (before_ms - line_ms) * self._kept(self.config.line_falls_s))

    def _counted(self, counted: Sequence[InstanceHealth]) -> _Counts:
        place = {name: row for row, name in enumerate(self.memory.names)}
        first = first_bin_over(int(self.now.line_ms * 1e6))
        both = np.zeros((2, len(place)))
        for one in counted:
            slow = sum([n for at, n in one.durations.items() if at >= first])
            both[:, place[one.instance]] = one.requests, min(slow, one.requests)
        requests, slow = np.maximum(both, 0.0)
        return _Counts(requests, slow, requests.sum() - requests, slow.sum() - slow)

    # -- judging -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Bring the evidence up to date."""
        self._greet()
        self._void()
        self.comparable = self._comparable()
        requests = np.where(self.comparable & self._known(), self.counts.requests, 0.0)
        sums = self.rows["sums"].astype(float)
        bounds = self.config.evidence
        self.normal = self._normal()
        after = gather_slow(sums, self.counts.slow, requests, self.normal, self.rows["active"], bounds)
        starts = np.where(self.rows["starts"] > 0, self.rows["starts"], self.pane)
        self.rows["starts"] = np.where(after > 0, starts, 0)
        self.rows["sums"] = after
        total = after.max(axis=1)
        self.rows["active"] |= total >= bounds.alarm
        self._drop(self.rows["active"] & (total < bounds.release * bounds.alarm))  # over: nothing of it is learned

    def _greet(self) -> None:
        """Let instances that are new, or were started again, warm up from now on; count what others missed."""
        rows, heard = self.rows, self.heard
        again = heard & (rows["missed"] >= self.config.missed_requests)
        self._drop(again)
        rows["first"][heard & ((rows["first"] == 0) | again)] = self.pane
        if not self.overflows:  # else those not counted may well have had requests
            rows["missed"] += np.where(heard, 0.0, rows["rate"])
        rows["missed"][heard] = 0.0
        steps = np.where(rows["heard"] == 0, 1.0, 1.0 / _RATE_PANES)
        rows["rate"] += np.where(heard, (self.counts.requests - rows["rate"]) * steps, 0.0)
        rows["heard"][heard] = self.pane

    def _void(self) -> None:
        """Drop the evidence of instances that were not heard for long: a silence proves nothing, either way."""
        self._drop(self.rows["heard"] < self.ago(self.config.evidence.stale_s))

    def _drop(self, which: Flags) -> None:
        if not which.any():
            return
        for name in ("sums", "starts", "doubtful", "doubtful_slow", "active"):
            self.rows[name][which] = 0

    def _known(self) -> Flags:
        """Tell who came later than the first, or has been learned: habits of the first ones are nobody's fault."""
        founders = self.rows["first"] <= self.now.began + self.panes(self.config.founding_s)
        return ~founders | (self.rows["requests"] >= self.config.founding_requests)

    def _comparable(self) -> Flags:
        """Tell whose requests can be held against those of siblings: who is warm, and is not alone."""
        warm = self.pane - self.rows["first"].astype(np.int64) >= self.panes(self.config.warm_up_s)
        return self.heard & warm & (self.counts.beside >= self.config.least_beside) & (self.now.line_ms > 0)

    def _normal(self) -> Floats:
        """Return the share of slow requests that nobody is told for: its siblings', its own habit, any one's habit."""
        worst, prior = max(self.now.worst, self.config.belief), self.config.habit_prior_requests
        weight = self.rows["requests"] + prior
        habit = np.minimum((self.rows["slow"] + prior * worst) / weight, 1.0)
        habit += np.sqrt(habit * (1 - habit) / weight)
        beside = (self.counts.beside_slow + 1.0) / (self.counts.beside + 2.0)
        return np.asarray(np.maximum(np.maximum(habit, worst), beside))

    # -- learning ------------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Learn the requests of instances without a suspicion; keep the others' until it is decided."""
        rows, comparable = self.rows, self.comparable
        rows["doubtful"] += np.where(comparable, self.counts.requests, 0.0)
        rows["doubtful_slow"] += np.where(comparable, self.counts.slow, 0.0)
        kept = np.where(comparable, self._kept(self.config.habit_s), 1.0)
        rows["requests"] *= kept
        rows["slow"] *= kept
        since = self.pane - self._since()
        refuted = (rows["sums"].max(axis=1) <= 0) | (~rows["active"] & (since >= self.panes(self.config.freeze_s)))
        for name, held in (("requests", "doubtful"), ("slow", "doubtful_slow")):
            rows[name] += np.where(refuted, rows[held], 0.0)
            rows[held][refuted] = 0.0
        self._accept(rows["active"] & (since >= self.panes(self.config.accept_s)))
        self._see_habits()

    def _kept(self, seconds: float) -> float:
        return math.exp(-1 / self.panes(seconds))

    def _since(self) -> NDArray[np.int64]:
        """Return by instance the pane in which its largest sum left zero; this one where none has."""
        lead = self.rows["sums"].argmax(axis=1)
        starts = self.rows["starts"][np.arange(len(lead)), lead].astype(np.int64)
        return np.where(starts > 0, starts, self.pane)

    def _accept(self, which: Flags) -> None:
        """Take what went on for too long as the habit of these, which is no excuse for others."""
        if not which.any():
            return
        self.rows["requests"][which] = self.rows["doubtful"][which]
        self.rows["slow"][which] = self.rows["doubtful_slow"][which]
        self.rows["accepted"][which] = True
        self._drop(which)

    def _see_habits(self) -> None:
        rows = self.rows
        is_habit = self.heard & ~rows["accepted"] & (rows["requests"] >= self.config.founding_requests)
        learned = zip(rows["slow"][is_habit].tolist(), rows["requests"][is_habit].tolist(), strict=True)
        worst = max((wilson_lower(min(slow, requests), requests, _Z) for slow, requests in learned), default=0.0)
        self.now.worst = max(self.now.worst * self._kept(self.config.worst_s), worst)

    # -- telling -------------------------------------------------------------------------------------------

    def series(self) -> list[SeriesScore]:
        """Return the series of the instances with most evidence, of those that are suspected."""
        evidence = self.rows["sums"].max(axis=1) / self.config.evidence.alarm
        told = np.flatnonzero(evidence >= self.config.told)
        leading = sorted(told.tolist(), key=lambda row: (-evidence[row], self.memory.names[row]))
        return [self._score(row, float(evidence[row])) for row in leading[: self.config.max_told]]

    def _score(self, row: int, evidence: float) -> SeriesScore:
        """Return the share of the episode against the siblings' in this pane; the score is that of this pane alone."""
        requests, slow, beside, beside_slow = (float(column[row]) for column in self.counts)
        since = self.rows["doubtful"][row] + requests, self.rows["doubtful_slow"][row] + slow
        normal = float(self.normal[row])
        scale = max(float(np.sqrt(normal * (1 - normal) / max(requests, 1.0))), 0.01)
        score = (slow / requests - normal) / scale if requests else 0.0
        return SeriesScore(
            kind=SeriesKind.INSTANCE_SLOW, instance=self.memory.names[row], limit_ms=round(self.now.line_ms, 3),
            value=round(float(since[1] / max(since[0], 1.0)), 6), median=round(beside_slow / max(beside, 1.0), 6),
            scale=round(scale, 6), score=round(score, 3), unit="ratio", requests=int(requests),
            evidence=round(evidence, 4), deviating=bool(self.rows["active"][row]),
            since_ns=int(self._since()[row]) * self.pane_s * 1_000_000_000,
        )  # fmt: skip
