"""The operator: one pane of one service against its own past."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.events import EdgeSummary, NodeKind, SeriesKind, SeriesScore, ServiceDeviations, ServiceHealth
from streams.baselines import evidence
from streams.baselines.betterment import forget_worse_levels, forget_worse_ratios
from streams.baselines.config import BaselineConfig
from streams.baselines.levels import judge_levels
from streams.baselines.measures import Measures, Ratio, SeriesKey, measures_of
from streams.baselines.state import BaselineState, Snapshot

Floats = NDArray[np.float64]
Unit = Literal["ms", "ratio", "per_s"]
Badge = Literal["learning", "reliable", "quiet"]
_LOGS = SeriesKey(SeriesKind.LOG_ERRORS)
_RATE = SeriesKey(SeriesKind.REQUEST_RATE)


class BaselineFold:
    """Judge panes of a service against its trailing baseline. Pure: the state belongs to the caller.

    Stepping the same (pane, revision) again, or a newer revision of one of the last `kept_snapshots` panes, judges it
    against what was known before it; the pane's contribution to the baseline is replaced, never added.
    """

    def __init__(self, config: BaselineConfig | None = None) -> None:
        self.config = config or BaselineConfig()

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, ServiceDeviations | None]:
        """Return the new state and the pane's deviations.

        None when the pane is too old to be judged, or a newer revision that says nothing new.
        """
        memory = BaselineState.decode(state)
        if not memory.judges(health.pane_start_ns, self.config):
            return (state or b""), None
        measures = measures_of(health, self.config.max_edges, self.config.max_operations)
        held = memory.held(health.pane_start_ns)
        is_known = held is not None and held.fingerprint == measures.fingerprint()
        if is_known and held is not None and health.revision > held.revision:
            return (state or b""), None
        _listen(memory, measures)
        judgement = _Judgement(self.config, memory, health, measures)
        scores = judgement.judge()
        if is_known:  # a replay: told again, learned already
            return (state or b""), _deviations(health, measures, scores, self._badge(memory, health))
        judgement.learn()
        return memory.encode(), _deviations(health, measures, scores, self._badge(memory, health))

    def _badge(self, memory: BaselineState, health: ServiceHealth) -> Badge:
        if health.window.requests == 0:
            return "quiet"
        return "reliable" if len(memory.pane_ns) >= self.config.reliable_panes else "learning"


def _listen(memory: BaselineState, measures: Measures) -> None:
    """Decide what silence in the logs means: no error, or no logs at all from a service that usually writes."""
    if measures.has_plain_logs and not memory.talkative:
        memory.talkative = True
        memory.clear_series(_LOGS.packed())
    if memory.talkative and not measures.has_plain_logs and not measures.log_failures:
        measures.ratios.pop(_LOGS, None)


class _Judgement:
    """One pane being judged: reads the memory, fills a snapshot, then teaches the memory."""

    def __init__(
        self, config: BaselineConfig, memory: BaselineState, health: ServiceHealth, measures: Measures
    ) -> None:
        self.config = config
        self.memory = memory
        self.health = health
        self.measures = measures
        self.pane_ns = health.pane_start_ns
        self.width = memory.columns_before(self.pane_ns)
        self.past = self._fresh(memory.before(self.pane_ns))
        self.now = self.past.copied(self.pane_ns, health.revision)
        self.now.fingerprint = measures.fingerprint()

    def _fresh(self, past: Snapshot) -> Snapshot:
        """Void the evidence of series that were not measured for long: a hole proves nothing, either way."""
        oldest_ns = self.pane_ns - int(self.config.stale_s * 1e9)
        for packed in [key for key, heard in past.heard_ns.items() if heard < oldest_ns]:
            past = past.without(packed)
        return past

    def judge(self) -> list[SeriesScore]:
        """Score every series that has a baseline."""
        scores = self._levels() + self._ratios()
        traffic = self._traffic()
        return [*scores, traffic] if traffic else scores

    def learn(self) -> None:
        """Add the pane to the baseline, except the series that are under suspicion."""
        levels = {
            key: (level.p50_ms, level.p95_ms)
            for key, level in self.measures.levels.items()
            if not self._is_suspect(key) and not self._is_suspect(key.pool)
        }
        ratios = {
            key: (ratio.hits, ratio.trials) for key, ratio in self.measures.ratios.items() if not self._is_suspect(key)
        }
        if self.measures.requests or self.health.window.requests or ratios:
            requests = float("nan") if self._is_suspect(_RATE) else float(self.measures.requests)
            self.memory.learn(self.pane_ns, requests, levels, ratios, self.config)
        self._unlearn()
        for key in levels:
            if (rows := self.memory.levels.get(key.packed())) is not None:
                forget_worse_levels(rows, self.memory.requests, self.config)
        for key in ratios:
            if (rows := self.memory.ratios.get(key.packed())) is not None:
                forget_worse_ratios(rows, self.config)
        self._accept_new_normals()
        self.memory.remember(self.now, self.config)

    def _is_suspect(self, key: SeriesKey) -> bool:
        packed = key.packed()
        return packed in self.now.active or self.now.totals.get(packed, 0.0) >= self.config.mask * self.config.alarm

    def _unlearn(self) -> None:
        """Take what was learned since the beginning of an episode back, once it turns out to be one."""
        for packed in self.now.active - self.past.active:
            first = self.memory.columns_before(self.now.since_ns(packed) or self.pane_ns)
            self.memory.blank(packed, first)

    def _past_of(self, table: dict[str, Floats], keys: list[SeriesKey], nothing: float) -> Floats:
        """Return what judges these series (series x 2 x panes): the panes before this one, and before their episodes.

        While evidence grows, normal is what was before it began; for ten minutes at most, lest a drift freezes it,
        and not on the word of a few panes.
        """
        past = np.full((len(keys), 2, self.width), nothing)
        longest_ns = self.pane_ns - int(self.config.freeze_s * 1e9)
        for row, key in enumerate(keys):
            known = table.get(key.packed())
            if known is None:
                continue
            since = self.past.since_ns(key.packed())
            end = self.width if since is None else self.memory.columns_before(max(since, longest_ns))
            seen = np.count_nonzero(~np.isnan(known[1, :end]) & (known[1, :end] != 0))
            end = end if seen >= self.config.freeze_panes else self.width
            past[row, :, :end] = known[:, :end]
        return past

    def _accept_new_normals(self) -> None:
        span_ns = int(self.config.rebaseline_s * 1e9)
        for key in [k for k in self.now.active if self.pane_ns - (self.now.since_ns(k) or self.pane_ns) > span_ns]:
            self.memory.clear_series(key)
            self.now = self.now.without(key)

    def _levels(self) -> list[SeriesScore]:
        keys = sorted(self.measures.levels, key=SeriesKey.packed)
        past = self._past_of(self.memory.levels, keys, np.nan)
        verdicts = judge_levels(self.measures.levels, past, self.past.levels, self.past.active, self.config)
        scores = []
        for one in verdicts:
            self.now.levels[one.key.packed()] = one.sums
            sums = [total for track in one.sums for total in track]
            scores.append(
                self._score(one.key, one.value_ms, one.median_ms, one.scale_ms, one.score, "ms", one.requests, sums)
            )
        return scores

    def _ratios(self) -> list[SeriesScore]:
        keys = sorted(self.measures.ratios, key=SeriesKey.packed)
        if not keys or self.width < self.config.min_panes:
            return []
        past = self._past_of(self.memory.ratios, keys, 0.0).sum(axis=2)
        weight = past[:, 1] + self.config.ratio_prior_trials
        mean = (past[:, 0] + self.config.ratio_prior_hits) / weight
        normal = mean + np.sqrt(mean * (1 - mean) / weight)
        ratios = [self.measures.ratios[key] for key in keys]
        hits = np.array([float(ratio.hits) for ratio in ratios])
        trials = np.where(past[:, 1] > 0, [float(ratio.trials) for ratio in ratios], 0.0)
        fresh = (0.0,) * len(evidence.RATIO_RISES)
        sums = np.array([self.past.ratios.get(key.packed(), fresh) for key in keys])
        active = np.array([key.packed() in self.past.active for key in keys])
        after = evidence.gather_ratios(sums, hits, trials, normal, active, self.config)
        scores = []
        for row, key in enumerate(keys):
            self.now.ratios[key.packed()] = tuple(after[row].tolist())
            if trials[row]:
                scores.append(self._ratio_score(key, ratios[row], float(mean[row]), after[row].tolist()))
        return scores

    def _ratio_score(self, key: SeriesKey, ratio: Ratio, mean: float, sums: list[float]) -> SeriesScore:
        scale = max(float(np.sqrt(mean * (1 - mean) / ratio.trials)), 0.01)
        value = ratio.hits / ratio.trials
        return self._score(key, value, mean, scale, (value - mean) / scale, "ratio", ratio.trials, sums)

    def _traffic(self) -> SeriesScore | None:
        counts = self.memory.requests[: self.width]
        counts = counts[~np.isnan(counts)]
        if counts.size < self.config.min_panes or self.health.node_kind is NodeKind.CLIENT:
            return None
        normal = float(np.median(counts))
        spread = 1.4826 * float(np.median(np.abs(counts - normal)))
        requests = self.measures.requests
        self.now.drop, score = evidence.gather_drop(self.past.drop, requests, normal, spread, self.config)
        scale = max(spread, float(np.sqrt(normal)), 1.0) / self.health.pane_s
        rate, usual = requests / self.health.pane_s, normal / self.health.pane_s
        return self._score(_RATE, rate, usual, scale, score, "per_s", requests, [self.now.drop])

    def _score(
        self, key: SeriesKey, value: float, median: float, scale: float, score: float, unit: Unit, requests: int,
        sums: list[float],
    ) -> SeriesScore:  # fmt: skip
        packed = key.packed()
        self._follow(packed, sums)
        return SeriesScore.model_construct(
            kind=key.kind, operation=key.operation, edge_client=key.client, value=round(value, 6),
            median=round(median, 6), scale=round(scale, 6), score=round(score, 3), unit=unit, requests=requests,
            evidence=round(max(sums) / self.config.alarm, 4), deviating=packed in self.now.active,
            since_ns=self.now.since_ns(packed),
        )  # fmt: skip

    def _follow(self, packed: str, sums: list[float]) -> None:
        """Start, keep or end the episode of a series (hysteresis). It began where its largest sum left zero."""
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
        if total >= self.config.alarm:
            self.now.active.add(packed)
        elif total < self.config.release * self.config.alarm:
            self.now.active.discard(packed)


def _deviations(
    health: ServiceHealth, measures: Measures, scores: list[SeriesScore], badge: Badge
) -> ServiceDeviations:
    edges = [
        EdgeSummary.model_construct(
            client=edge.client, client_kind=edge.client_kind, connection_type=edge.connection_type,
            requests=edge.pane.requests, errors=edge.pane.errors, gap_p95_ms=edge.pane.gap_p95_ms,
            client_p95_ms=edge.pane.client_p95_ms,
        )
        for edge in health.edges_in
    ]  # fmt: skip
    return ServiceDeviations.model_construct(
        tenant=health.tenant, service=health.service, node_kind=health.node_kind, pane_start_ns=health.pane_start_ns,
        revision=health.revision, driven=health.driven, state=badge, requests=health.pane.requests,
        errors=health.pane.errors, p95_ms=health.pane.p95_ms, series=scores, edges_in=edges,
        exemplars=health.exemplars, log_errors=measures.log_failures, passages=health.passages,
    )  # fmt: skip
