"""Budgets of errors and of slow requests: how fast a service burns its own, by the rules of the SRE workbook.

Google, "The Site Reliability Workbook", chapter 5 (multiwindow, multi-burn-rate): alert when the burn rate over a long
*and* a short window exceeds a factor; the short one ends the alert soon after the errors end. At low traffic a few
failures make a large rate, so the lower end of the Wilson interval (E. B. Wilson, JASA 22, 1927) of the long window
must exceed the factor, too.

Both objectives count requests: those that failed, and those that took longer than the threshold (a failure that was
fast enough is fast enough; `streams.latency.count_over` says what is over).

State, for each: requests and bad ones by minute for 6 hours and by half hour for 3 days; the last panes by themselves,
so that a revision replaces what it revises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgpack

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind, ServiceHealth
from schemas.settings import Settings
from streams.windows import WindowConfig

_VERSION = 2
LATENCY = "latency"
"""Name of the burn rate of the latency objective; that of availability has none."""
_MINUTE_S, _COARSE_S = 60, 1800
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Alert when the budget burns this many times too fast over both windows."""

    factor: float
    long_s: int
    short_s: int


RULES = (
    BurnRule(14.4, 3600, 300),
    BurnRule(6.0, 6 * 3600, 1800),
    BurnRule(3.0, 24 * 3600, 2 * 3600),
    BurnRule(1.0, 3 * 24 * 3600, 6 * 3600),
)
"""Two that page (2 % of a 30-day budget in an hour, 5 % in six), two that make a ticket; fastest first."""

PAGING_BURN = 6.0
"""A budget that burns at least so many times too fast over a rule's long window is worth a page."""


@dataclass(frozen=True, slots=True)
class SloConfig:
    """The objectives and how they are judged."""

    objective: float = 0.995
    """Share of requests that must succeed."""
    latency_objective: float = 0.95
    """Share of requests that must not take longer than `slow_ns`."""
    slow_ns: int = 0
    """The threshold of the latency objective, as `WindowConfig.slow_ns` has it; 0 = there is none."""
    rules: tuple[BurnRule, ...] = RULES
    wilson_z: float = 1.645
    """One-sided 95 %."""
    least_covered: float = 0.5
    """A rule is judged once this share of its long window is known: an hour cannot speak for three days."""
    kept_panes: int = 30
    """Panes that a revision can still replace."""

    @staticmethod
    def from_settings(settings: Settings) -> SloConfig:
        """Take what an operator can set."""
        return SloConfig(
            objective=settings.slo_objective, latency_objective=settings.slo_latency_objective,
            slow_ns=WindowConfig.from_settings(settings).slow_ns,
        )  # fmt: skip


def wilson_lower(hits: float, trials: float, z: float) -> float:
    """Return the lower end of the Wilson score interval of hits / trials; 0 for no trials."""
    if trials <= 0:
        return 0.0
    ratio, square = hits / trials, z * z / trials
    middle = ratio + square / 2
    half = z * math.sqrt(ratio * (1 - ratio) / trials + square / (4 * trials))
    return max(0.0, (middle - half) / (1 + square))


@dataclass(slots=True)
class Budget:
    """What is remembered of one objective of a service.

    Counts [requests, bad ones] by start of the minute, of the half hour, and by pane (seconds and ns).
    """

    minutes: dict[int, list[int]] = field(default_factory=dict)
    coarse: dict[int, list[int]] = field(default_factory=dict)
    panes: dict[int, list[int]] = field(default_factory=dict)
    since_ns: int = 0

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [self.minutes, self.coarse, self.panes, self.since_ns]

    def replace(self, pane_start_ns: int, requests: int, errors: int, kept_panes: int) -> bool:
        """Put the pane's counts in place of those it had; False when it is older than what can be replaced."""
        if pane_start_ns not in self.panes and self.panes and pane_start_ns < min(self.panes):
            return False
        before = self.panes.get(pane_start_ns, [0, 0])
        self.panes[pane_start_ns] = [requests, errors]
        start_s = pane_start_ns // _NS
        for table, width_s in ((self.minutes, _MINUTE_S), (self.coarse, _COARSE_S)):
            bucket = table.setdefault(start_s - start_s % width_s, [0, 0])
            bucket[0] += requests - before[0]
            bucket[1] += errors - before[1]
        for old in sorted(self.panes)[:-kept_panes]:
            del self.panes[old]
        newest_s = max(self.panes) // _NS
        for table, kept_s in ((self.minutes, 6 * 3600 + _MINUTE_S), (self.coarse, 3 * 24 * 3600 + _COARSE_S)):
            for old_s in [start_s for start_s in table if start_s <= newest_s - kept_s]:
                del table[old_s]
        return True

    def is_spent(self) -> bool:
        """Tell whether any request that is still counted was bad: of most services none was."""
        return any(bad for _, bad in self.coarse.values())

    def known_s(self, end_s: int) -> int:
        """Return how long ago the first requests that are still counted came: to the minute while minutes are kept."""
        minute_s, half_hour_s = min(self.minutes, default=end_s), min(self.coarse, default=end_s)
        return end_s - (minute_s if minute_s < half_hour_s + _COARSE_S else half_hour_s)

    def over(self, end_s: int, window_s: int) -> tuple[int, int]:
        """Return (requests, errors) over the window that ends here; up to one bucket more."""
        table = self.minutes if window_s <= 6 * 3600 else self.coarse
        counts = [count for start_s, count in table.items() if end_s - window_s <= start_s < end_s]
        return sum(c[0] for c in counts), sum(c[1] for c in counts)


@dataclass(slots=True)
class Budgets:
    """What is remembered of one service: a budget for each objective.

    The latency's begins anew when its threshold changes: what was slow by another one says nothing.
    """

    availability: Budget = field(default_factory=Budget)
    latency: Budget = field(default_factory=Budget)
    slow_ns: int = 0

    def encode(self) -> bytes:
        """Return the state as msgpack."""
        body = [_VERSION, self.availability.packed(), self.latency.packed(), self.slow_ns]
        return bytes(msgpack.packb(body))

    @staticmethod
    def decode(raw: bytes | None) -> Budgets:
        """Read `encode` back; nothing is a fresh start. A state of version 1 knew availability alone."""
        body: list[Any] = msgpack.unpackb(raw, strict_map_key=False) if raw else [0]
        if body[0] == 1:
            return Budgets(Budget(*body[1:]))
        return Budgets(Budget(*body[1]), Budget(*body[2]), body[3]) if body[0] == _VERSION else Budgets()


class BurnRateFold:
    """Follow the budgets of each service. Pure: the state belongs to the caller."""

    def __init__(self, config: SloConfig | None = None) -> None:
        self.config = config or SloConfig()

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, ServiceDeviations | None]:
        """Return the new state and the burn rates, if any; None when there is nothing to say."""
        if health.node_kind is not NodeKind.SERVICE:
            return state or b"", None
        budgets = Budgets.decode(state)
        deviations, changed = self.advance(budgets, health)
        return budgets.encode() if changed else (state or b""), deviations

    def advance(self, budgets: Budgets, health: ServiceHealth) -> tuple[ServiceDeviations | None, bool]:
        """As `step`, with the state unpacked and changed in place; also tell whether it was."""
        config, requests = self.config, health.pane.requests
        if health.node_kind is not NodeKind.SERVICE:
            return None, False
        found = [self._spend(budgets.availability, health, requests, health.pane.errors, config.objective, None)]
        if budgets.slow_ns != config.slow_ns:
            budgets.latency, budgets.slow_ns = Budget(), config.slow_ns
        if config.slow_ns:
            slow = health.slow_requests
            found.append(self._spend(budgets.latency, health, requests, slow, config.latency_objective, LATENCY))
        scores = [score for score, _ in found if score is not None]
        return (_deviations(health, scores) if scores else None), any(changed for _, changed in found)

    def _spend(
        self, budget: Budget, health: ServiceHealth, requests: int, bad: int, objective: float, name: str | None
    ) -> tuple[SeriesScore | None, bool]:  # fmt: skip
        """Take a pane's requests, return the burn rate and whether the budget changed."""
        if health.revision > 0 and budget.panes.get(health.pane_start_ns) == [requests, bad]:
            return None, False
        if not budget.replace(health.pane_start_ns, requests, bad, self.config.kept_panes):
            return None, False
        return self._judge(budget, health, objective, name), True

    def _judge(self, budget: Budget, health: ServiceHealth, objective: float, name: str | None) -> SeriesScore | None:
        if not budget.is_spent():
            budget.since_ns = 0
            return None
        end_s = health.pane_start_ns // _NS + health.pane_s
        verdicts = [self._burn(budget, rule, end_s, 1.0 - objective) for rule in self.config.rules]
        met = [verdict for verdict in verdicts if verdict[0] >= 1.0]
        evidence, burn, requests = met[0] if met else max(verdicts)  # rules come fastest first
        if burn <= 0:
            budget.since_ns = 0
            return None
        deviating = evidence >= 1.0
        budget.since_ns = (budget.since_ns or health.pane_start_ns) if deviating else 0
        return SeriesScore(
            kind=SeriesKind.BURN_RATE, name=name, value=round(burn, 3), median=1.0, scale=1.0,
            score=round(burn - 1.0, 3), unit="x", requests=requests, evidence=round(evidence, 4), deviating=deviating,
            since_ns=budget.since_ns or None,
        )  # fmt: skip

    def _burn(self, budget: Budget, rule: BurnRule, end_s: int, allowed: float) -> tuple[float, float, int]:
        """Return (share of what the rule needs, burn rate over the long window, requests of it)."""
        requests, bad = budget.over(end_s, rule.long_s)
        if not requests or budget.known_s(end_s) < self.config.least_covered * rule.long_s:
            return 0.0, 0.0, 0
        surely = wilson_lower(bad, requests, self.config.wilson_z) / allowed
        recent, failed = budget.over(end_s, rule.short_s)
        now = failed / recent / allowed if recent else 0.0
        return min(surely, now) / rule.factor, bad / requests / allowed, requests


def _deviations(health: ServiceHealth, scores: list[SeriesScore]) -> ServiceDeviations:
    return ServiceDeviations(
        tenant=health.tenant, service=health.service, node_kind=health.node_kind, pane_start_ns=health.pane_start_ns,
        revision=health.revision, driven=health.driven, state="reliable" if health.window.requests else "quiet",
        requests=health.pane.requests, errors=health.pane.errors, p95_ms=health.pane.p95_ms, series=scores,
    )  # fmt: skip
