"""Why a pane is told as it is: every telling of it, and how much came late."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import examples, examples_operations
from api.auth import Tenant
from api.parameters import ServiceName
from api.paths import API
from api.resources import OpenStores
from api.spans_of_time import PaneSpan
from api.views.revisions import Revisions
from sinks.clickhouse import pane_revisions

router = APIRouter(prefix=f"{API}/services", tags=["services"])

MAX_REVISIONS = 5_000


@router.get(
    "/{service:name}/revisions",
    summary="Get the revisions of a service's panes",
    response_description="Every telling of each pane, oldest first, with its cause.",
    responses=examples.answer(examples_operations.REVISIONS),
)
async def get_revisions(
    tenant: Tenant,
    stores: OpenStores,
    service: ServiceName,
    span: PaneSpan,
    cause: Annotated[Literal["live", "late"] | None, Query(description="Only told for this cause.")] = None,
) -> Revisions:
    """Return what each pane was told as, when and why: `live` by the windows, `late` measured again from the store."""
    found = await pane_revisions.history(stores.clickhouse, tenant, service, *span, cause, MAX_REVISIONS + 1)
    return Revisions(
        service=service,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        late_items=await pane_revisions.late_items(stores.clickhouse, tenant, service, *span),
        items=found[:MAX_REVISIONS],
        truncated=len(found) > MAX_REVISIONS,
    )
