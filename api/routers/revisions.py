"""Why a pane is told as it is: every telling of it, and how much came late."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import examples, examples_operations
from api.auth import Tenant
from api.parameters import Instant, ServiceName, check_span
from api.paths import API
from api.problems import FieldError, Problem, Slug
from api.resources import OpenStores, WallNs
from api.views.revisions import Revisions
from sinks.clickhouse import pane_revisions

router = APIRouter(prefix=f"{API}/services", tags=["services"])

HOUR_NS = 3600 * 1_000_000_000
LONGEST_NS = 24 * HOUR_NS
MAX_REVISIONS = 5_000


@router.get(
    "/{service:path}/revisions",
    summary="Get the revisions of a service's panes",
    response_description="Every telling of each pane, oldest first, with its cause.",
    responses=examples.answer(examples_operations.REVISIONS),
)
async def get_revisions(
    tenant: Tenant,
    stores: OpenStores,
    wall_ns: WallNs,
    service: ServiceName,
    start: Annotated[Instant | None, Query(description="First pane; an hour before the end if not given.")] = None,
    end: Annotated[Instant | None, Query(description="Panes before this instant; now if not given.")] = None,
    cause: Annotated[Literal["live", "late"] | None, Query(description="Only told for this cause.")] = None,
) -> Revisions:
    """Return what each pane was told as, when and why: `live` by the windows, `late` measured again from the store."""
    end_ns = end if end is not None else (wall_ns if start is None else start + HOUR_NS)
    start_ns = start if start is not None else max(0, end_ns - HOUR_NS)
    check_span(start_ns, end_ns, "start", "end")
    if end_ns - start_ns > LONGEST_NS:
        detail = "At most 24 hours at once."
        raise Problem(Slug.INVALID, detail, errors=[FieldError(where="query.start", detail=detail)])
    found = await pane_revisions.history(stores.clickhouse, tenant, service, start_ns, end_ns, cause, MAX_REVISIONS + 1)
    return Revisions(
        service=service,
        start_ns=start_ns,
        end_ns=end_ns,
        late_items=await pane_revisions.late_items(stores.clickhouse, tenant, service, start_ns, end_ns),
        items=found[:MAX_REVISIONS],
        truncated=len(found) > MAX_REVISIONS,
    )
