"""One pane of a service: every instance and every kind of hit at once (instances x kinds)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.health import InstanceHealth, ServiceHealth
from streams.siblings.config import SiblingConfig
from streams.siblings.counts import count_hits
from streams.siblings.kinds import KINDS, SIZES, SLOW
from streams.siblings.rises import gather_hits
from streams.siblings.state import ROW, Rows, SiblingMemory, Snapshot
from streams.siblings.usual import slow_from_ms
from streams.slo import wilson_lower

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_RATE_PANES = 30.0
_Z = 1.64
_BESIDE_PRIOR_REQUESTS = 2.0


class Comparison:
    """One pane being judged: a copy of the rows as they stood before it is brought up to date."""

    def __init__(
        self, config: SiblingConfig, memory: SiblingMemory, health: ServiceHealth, counted: Sequence[InstanceHealth],
        usual_ms: float | None,
    ) -> None:  # fmt: skip
        self.config = config
        self.pane_s = health.pane_s
        self.pane = memory.number_of(health.pane_start_ns)
        self.overflows = len(counted) < len(health.instances)
        before = memory.before(health.pane_start_ns)
        is_new = before is None or self.pane - memory.number_of(before.pane_ns) > self.panes(config.forget_s)
        worst = before.worst if before else list(config.belief)
        began = [self.pane] * len(KINDS) if before is None or is_new else before.began
        self.now = Snapshot(health.pane_start_ns, _rows(memory, before, counted), worst, began)
        self.now.line_ms = self._line(before.line_ms if before else 0.0, usual_ms)
        self.names = memory.names
        self.counts = count_hits(counted, {name: row for row, name in enumerate(self.names)}, self.now.line_ms)
        self.rows = self.now.rows
        self.heard = self.counts.requests > 0

    def panes(self, seconds: float) -> float:
        """Return a time as a number of panes."""
        return seconds / self.pane_s

    def ago(self, seconds: float) -> int:
        """Return the number of the pane so long before this one."""
        return int(self.pane - self.panes(seconds))

    def began_ns(self, row: int, kind: int) -> int:
        """Return the start of the pane in which the evidence against an instance left zero."""
        return int(self._since()[row, kind]) * self.pane_s * 1_000_000_000

    def _line(self, before_ms: float, usual_ms: float | None) -> float:
        """Return what is slow: it rises at once with what is usual, and falls slowly."""
        if usual_ms is None:
            return before_ms
        line_ms = slow_from_ms(usual_ms, self.config.above, self.config.above_ms)
        return max(line_ms, line_ms + (before_ms - line_ms) * self._kept(self.config.line_falls_s))

    # -- judging -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Bring the evidence up to date."""
        self._greet()
        self._void()
        self.comparable = self._comparable()
        requests = np.where(self.comparable & self._known(), self.counts.requests[:, None], 0.0)
        sums, active, bounds = self.rows["sums"].astype(float), self.rows["active"], self.config.evidence
        self.normal = self._normal()
        after = gather_hits(sums, self.counts.hits, requests, self.normal, active, bounds)
        starts = np.where(self.rows["starts"] > 0, self.rows["starts"], self.pane)
        self.rows["starts"] = np.where(after > 0, starts, 0)
        self.rows["sums"] = after
        total = after.max(axis=-1)
        active |= total >= bounds.alarm
        self._drop(active & (total < bounds.release * bounds.alarm))  # over: nothing of it is learned

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
        """Drop the evidence of instances, of all kinds or of one."""
        if which.any():
            for name in ("sums", "starts", "doubtful", "doubtful_hits", "doubtful_usual", "active"):
                self.rows[name][which] = 0

    def _known(self) -> Flags:
        """Tell who came later than the first, or has been learned: habits of the first ones are nobody's fault."""
        is_later = self.rows["first"][:, None] > np.array(self.now.began) + self.panes(self.config.founding_s)
        return np.asarray(is_later | (self.rows["requests"] >= self.config.founding_requests))

    def _comparable(self) -> Flags:
        """Tell whose requests can be held against those of siblings: who is warm, and is not alone."""
        age = self.pane - self.rows["first"].astype(np.int64)
        warm = age[:, None] >= np.array([self.panes(seconds) for seconds in self.config.warm_up_s])
        comparable = warm & (self.heard & (self.counts.beside >= self.config.least_beside))[:, None]
        if self.now.line_ms <= 0:
            comparable[:, SLOW] = False
        return np.asarray(comparable)

    def _normal(self) -> Floats:
        """Return the share of hits that nobody is told for: its siblings', its own habit, any one's habit."""
        worst, prior = np.maximum(self.now.worst, self.config.belief), self.config.habit_prior_requests
        weight = self.rows["requests"] + prior
        habit = np.minimum((np.maximum(self.rows["hits"], 0.0) + prior * worst) / weight, 1.0)
        habit += np.sqrt(habit * (1 - habit) / weight)
        beside = (self.counts.beside + _BESIDE_PRIOR_REQUESTS)[:, None]
        beside_share = (self.counts.beside_hits + np.array(self.config.beside_prior_hits)) / beside
        return np.asarray(np.maximum(np.maximum(habit, worst), beside_share))

    # -- learning ------------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Learn the requests of instances without a suspicion; keep the others' until it is decided.

        What siblings do in the same pane is nobody's habit: it is taken off.
        """
        rows, comparable, counts = self.rows, self.comparable, self.counts
        requests = np.where(comparable, counts.requests[:, None], 0.0)
        rows["doubtful"] += requests
        rows["doubtful_hits"] += np.where(comparable, counts.hits, 0.0)
        rows["doubtful_usual"] += requests * (counts.beside_hits / np.maximum(counts.beside, 1.0)[:, None])
        kept = np.where(comparable, self._kept(self.config.habit_s), 1.0)
        since = self.pane - self._since()
        refuted = (rows["sums"].max(axis=-1) <= 0) | (~rows["active"] & (since >= self.panes(self.config.freeze_s)))
        rows["requests"] = rows["requests"] * kept + np.where(refuted, rows["doubtful"], 0.0)
        beyond = rows["doubtful_hits"] - rows["doubtful_usual"]
        rows["hits"] = rows["hits"] * kept + np.where(refuted, beyond, 0.0)
        for name in ("doubtful", "doubtful_hits", "doubtful_usual"):
            rows[name][refuted] = 0.0
        self._accept(self.lasting())
        self._see_habits()

    def lasting(self) -> Flags:
        """Tell (instances x kinds) whose alarm has lasted so long that from the next pane on it is a habit."""
        lasts = self.pane - self._since() >= self.panes(self.config.accept_s)
        return np.asarray(self.rows["active"] & lasts)

    def _kept(self, seconds: float) -> float:
        return math.exp(-1 / self.panes(seconds))

    def _since(self) -> NDArray[np.int64]:
        """Return (instances x kinds) the pane in which the largest sum left zero; this one where none has."""
        lead = self.rows["sums"].argmax(axis=-1)
        starts = self.rows["starts"].reshape(-1, SIZES)[np.arange(lead.size), lead.ravel()].reshape(lead.shape)
        return np.where(starts > 0, starts.astype(np.int64), self.pane)

    def _accept(self, which: Flags) -> None:
        """Take what went on for too long as the habit of these, which is no excuse for others."""
        if not which.any():
            return
        rows = self.rows
        rows["requests"][which] = rows["doubtful"][which]
        rows["hits"][which] = (rows["doubtful_hits"] - rows["doubtful_usual"])[which]
        rows["accepted"][which] = True
        self._drop(which)

    def _see_habits(self) -> None:
        """Raise the worst habit to that of an instance that surely has more; only who has more at all is looked at."""
        rows = self.rows
        worst = [each * self._kept(self.config.worst_s) for each in self.now.worst]
        is_habit = self.heard[:, None] & ~rows["accepted"] & (rows["requests"] >= self.config.founding_requests)
        for row, kind in np.argwhere(is_habit & (rows["hits"] > np.array(worst) * rows["requests"])).tolist():
            requests, hits = float(rows["requests"][row, kind]), float(rows["hits"][row, kind])
            worst[kind] = max(worst[kind], wilson_lower(min(hits, requests), requests, _Z))
        self.now.worst = worst


def _rows(memory: SiblingMemory, before: Snapshot | None, counted: Sequence[InstanceHealth]) -> Rows:
    """Return the rows as they stood, with new ones for instances never heard of."""
    known = set(memory.names)
    memory.names += sorted(one.instance for one in counted if one.instance not in known)
    return np.zeros(len(memory.names), ROW) if before is None else before.copied(len(memory.names))
