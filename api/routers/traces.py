"""One trace, and its logs."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query

from api import examples, examples_services
from api.auth import Tenant
from api.parameters import TraceId
from api.paths import API
from api.problems import Slug, documented
from api.resources import OpenStores
from api.views.traces import TraceLogs, TraceView
from schemas.errors import NotFound
from sinks.clickhouse import raw_reads

router = APIRouter(prefix=f"{API}/traces", tags=["traces"])

MOST_SPANS: Final = 5_000
MOST_LOGS: Final = 1_000


@router.get(
    "/{trace_id}",
    summary="Get a trace",
    response_description="The trace's spans in drawing order.",
    responses=examples.answer(examples_services.TRACE) | documented(Slug.NOT_FOUND),
)
async def get_trace(
    tenant: Tenant,
    stores: OpenStores,
    trace_id: TraceId,
    limit: Annotated[int, Query(ge=1, le=MOST_SPANS, description="At most this many spans, the earliest.")] = 2_000,
) -> TraceView:
    """Return a trace: every span once, each after its parent, also where parents are missing or form a cycle.

    At most 16 MiB of names, texts and attributes: then it is `truncated`.
    """
    found = await raw_reads.trace(stores.clickhouse, tenant, trace_id.lower(), limit)
    if found is None:
        raise NotFound("No such trace.")
    return TraceView.of(found)


@router.get(
    "/{trace_id}/logs",
    summary="Get the logs of a trace",
    response_description="Log records that name the trace, oldest first; none is not an error.",
    responses=examples.answer(examples_services.TRACE_LOGS),
)
async def get_trace_logs(
    tenant: Tenant,
    stores: OpenStores,
    trace_id: TraceId,
    limit: Annotated[int, Query(ge=1, le=MOST_LOGS, description="At most this many records, the oldest.")] = 200,
) -> TraceLogs:
    """Return the log records that were written within a trace, at most 16 MiB of them."""
    found = await raw_reads.trace_logs(stores.clickhouse, tenant, trace_id.lower(), limit)
    return TraceLogs(trace_id=trace_id.lower(), items=found.lines, truncated=found.truncated)
