"""The error budget of a service as a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, Field

from schemas.queries import BudgetStep, Indicator


class BudgetPoint(BudgetStep):
    """One step: how fast the budget burned in it, and what of the budget of the whole span is left after it."""

    burn_rate: float | None = Field(description="1 spends the budget exactly; null without requests.")
    remaining: float = Field(
        description="Share of what may fail in the whole span, by its requests; negative: overspent."
    )


class BudgetSeries(BaseModel):
    """The budget of a service over a span: a share of its requests may fail. Unmeasured time spends nothing."""

    service: str
    start_ns: int
    end_ns: int
    step_s: int
    indicator: Indicator = "availability"
    threshold_ms: float | None = Field(None, description="By latency: requests that take longer are too slow.")
    objective: float = Field(description="Share of requests that must succeed, or be fast enough.")
    requests: int
    errors: int = Field(description="Requests that failed; by latency, those that took too long.")
    allowed: float = Field(description="Requests of the span that may fail, or be slow.")
    remaining: float = Field(description="Share of the allowed failures that are left.")
    items: list[BudgetPoint]

    @classmethod
    def of(
        cls, service: str, span: tuple[int, int], step_s: int, objective: float, steps: Iterable[BudgetStep],
        slow_ms: float | None = None,
    ) -> BudgetSeries:  # fmt: skip
        """Return the series of these steps: of latency when there is a threshold."""
        known = list(steps)
        requests, errors = sum(one.requests for one in known), sum(one.errors for one in known)
        allowed = requests * (1.0 - objective)
        return cls(
            service=service, indicator="availability" if slow_ms is None else "latency", threshold_ms=slow_ms,
            start_ns=span[0], end_ns=span[1], step_s=step_s, objective=objective, requests=requests, errors=errors,
            allowed=round(allowed, 3), remaining=_left(errors, allowed), items=list(_points(known, objective, allowed)),
        )  # fmt: skip


def _points(steps: Iterable[BudgetStep], objective: float, allowed: float) -> Iterator[BudgetPoint]:
    spent = 0
    for one in steps:
        spent += one.errors
        burn = one.errors / one.requests / (1.0 - objective) if one.requests else None
        yield BudgetPoint(
            **one.model_dump(), burn_rate=None if burn is None else round(burn, 3), remaining=_left(spent, allowed)
        )


def _left(spent: int, allowed: float) -> float:
    return round(1.0 - spent / allowed, 4) if allowed else 1.0
