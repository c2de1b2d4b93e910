"""The operator: one pane of one service against its own past."""

from __future__ import annotations

from typing import Literal

from schemas.deviations import EdgeSummary, HourBadge, SeriesScore, ServiceDeviations
from schemas.health import ServiceHealth
from schemas.losses import LossReason
from streams.baselines.config import BaselineConfig
from streams.baselines.judgement import Judgement
from streams.baselines.measures import Measures, measures_of
from streams.baselines.pace import patience_of
from streams.baselines.state import BaselineState
from streams.windows import Loss, LossLedger

Badge = Literal["learning", "reliable", "quiet"]


class BaselineFold:
    """Judge panes of a service against its trailing baseline, and against what is usual at this hour of the week.

    Pure: the state belongs to the caller. A value is held against the one of both that is further on the bad side.

    Stepping the same (pane, revision) again, or a newer revision of one of the last `kept_snapshots` panes, judges it
    against what was known before it; the pane's contribution to the baseline is replaced, never added.
    """

    def __init__(self, config: BaselineConfig | None = None) -> None:
        self.config = config or BaselineConfig()
        self._bounds: dict[tuple[int, int], BaselineConfig] = {}
        self._losses = LossLedger()

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, ServiceDeviations | None]:
        """Return the new state and the pane's deviations.

        None when the pane is too old to be judged, or a newer revision that says nothing new.
        """
        memory = BaselineState.decode(state)
        deviations, changed = self.advance(memory, health)
        return memory.encode() if changed else (state or b""), deviations

    def advance(self, memory: BaselineState, health: ServiceHealth) -> tuple[ServiceDeviations | None, bool]:
        """As `step`, with the state unpacked and changed in place; also tell whether it was."""
        if not memory.judges(health.pane_start_ns, self.config):
            return None, False
        measures = measures_of(health, self.config.max_edges, self.config.max_operations)
        held = memory.held(health.pane_start_ns)
        if held is None:
            self._losses.add(health.tenant, LossReason.UNFOLLOWED, measures.unfollowed)
        is_known = held is not None and held.fingerprint == measures.fingerprint()
        if is_known and held is not None and health.revision > held.revision:
            return None, False
        patience = patience_of(memory.history, health.pane_start_ns, self.config)
        bounds = self._bounds_of(measures.series, patience)
        judgement = Judgement(bounds, memory, health, measures)
        scores = judgement.judge()
        if not is_known:  # else a replay: told again, learned already
            judgement.learn()
        hours: HourBadge = "reliable" if judgement.hours_ready else "learning"
        badge = self._badge(judgement.width, health)
        silence_s = bounds.stale_s if patience > 1 else None
        return _deviations(health, measures, scores, badge, hours, silence_s), not is_known

    def drain_losses(self) -> list[Loss]:
        """Return what has no series of its own, counted when its pane is first judged, since the last drain."""
        return self._losses.drain()

    def _bounds_of(self, series: int, patience: int) -> BaselineConfig:
        """Return the bounds of a service with so many series, whose requests are waited for so much longer."""
        key = (series, patience)
        if key not in self._bounds:
            self._bounds[key] = self.config.bounds_of(series, patience)
        return self._bounds[key]

    def _badge(self, panes: int, health: ServiceHealth) -> Badge:
        if health.window.requests == 0:
            return "quiet"
        return "reliable" if panes + 1 >= self.config.reliable_panes else "learning"


def _deviations(
    health: ServiceHealth, measures: Measures, scores: list[SeriesScore], badge: Badge, hours: HourBadge,
    silence_s: float | None,
) -> ServiceDeviations:  # fmt: skip
    edges = [
        EdgeSummary(
            client=edge.client, client_kind=edge.client_kind, connection_type=edge.connection_type,
            requests=edge.pane.requests, errors=edge.pane.errors, gap_p95_ms=edge.pane.gap_p95_ms,
            client_p95_ms=edge.pane.client_p95_ms,
        )
        for edge in health.edges_in
    ]  # fmt: skip
    return ServiceDeviations(
        tenant=health.tenant, service=health.service, node_kind=health.node_kind, pane_start_ns=health.pane_start_ns,
        revision=health.revision, driven=health.driven, state=badge, hour_of_week=hours, requests=health.pane.requests,
        errors=health.pane.errors, p95_ms=health.pane.p95_ms, series=scores, edges_in=edges,
        exemplars=health.exemplars, log_errors=measures.log_failures, passages=health.passages,
        tier=health.tier,
        instances=health.instances if len(health.instances) > 1 else [], usual_silence_s=silence_s,
    )  # fmt: skip
