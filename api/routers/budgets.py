"""Error budgets: how fast a service spends what may fail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, examples_operations
from api.auth import Tenant
from api.parameters import ServiceName
from api.paths import API
from api.resources import AppSettings, OpenStores
from api.spans_of_time import PaneSpan
from api.views.budget import BudgetSeries
from sinks.clickhouse.budget_reads import budget_steps

router = APIRouter(prefix=f"{API}/services", tags=["services"])


@router.get(
    "/{service:path}/budget",
    summary="Get the error budget of a service as a series",
    response_description="Requests, failures and burn rate by step, and what is left of the span's budget after each.",
    responses=examples.answer(examples_operations.BUDGET),
)
async def get_budget(
    tenant: Tenant,
    stores: OpenStores,
    settings: AppSettings,
    service: ServiceName,
    span: PaneSpan,
    step: Annotated[int, Query(ge=10, le=86_400, description="Seconds of a step.")] = 300,
) -> BudgetSeries:
    """Return how a service's availability budget was spent; at most 24 hours at once.

    By events: steps without requests spend nothing, steps that were not measured are not told.
    """
    steps = await budget_steps(stores.clickhouse, tenant, service, *span, step)
    return BudgetSeries.of(service, span, step, settings.slo_objective, steps)
