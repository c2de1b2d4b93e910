"""Error budgets: how fast a service spends what may fail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, examples_operations
from api.auth import Tenant
from api.parameters import ServiceName
from api.paths import API
from api.problems import Slug, documented
from api.resources import AppSettings, OpenStores
from api.spans_of_time import PaneSpan
from api.views.budget import BudgetSeries
from schemas.errors import NotFound
from schemas.queries import Indicator
from sinks.clickhouse.budget_reads import budget_steps

router = APIRouter(prefix=f"{API}/services", tags=["services"])


@router.get(
    "/{service:name}/budget",
    summary="Get the error budget of a service as a series",
    response_description="Requests, failures and burn rate by step, and what is left of the span's budget after each.",
    responses=examples.answer(examples_operations.BUDGET) | documented(Slug.NOT_FOUND),
)
async def get_budget(
    tenant: Tenant,
    stores: OpenStores,
    settings: AppSettings,
    service: ServiceName,
    span: PaneSpan,
    step: Annotated[int, Query(ge=10, le=86_400, description="Seconds of a step.")] = 300,
    indicator: Annotated[
        Indicator, Query(description="Of requests that succeed, or of requests that are fast enough.")
    ] = "availability",
) -> BudgetSeries:
    """Return how the budget of an objective of a service was spent; at most 24 hours at once.

    By events: steps without requests spend nothing, steps that were not measured are not told. 404 for latency where
    no threshold is set; what was slow is counted when it comes, by the threshold of then.
    """
    slow_ms, objective = None, settings.slo_objective
    if indicator == "latency":
        if not settings.slo_latency_ms:
            raise NotFound("No latency objective is set.")
        slow_ms, objective = settings.slo_latency_ms, settings.slo_latency_objective
    steps = await budget_steps(stores.clickhouse, tenant, service, *span, step, indicator)
    return BudgetSeries.of(service, span, step, objective, steps, slow_ms)
