"""Services: what there is, how each is doing, and its health as a series."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from api import examples, examples_services
from api.auth import Tenant
from api.parameters import ANY_NAME, Instant, ServiceName
from api.paths import API, health_path
from api.problems import Slug, documented
from api.resources import OpenStores, WallNs
from api.spans_of_time import HOUR_NS, PaneSpan
from api.views.deploys import DeployView
from api.views.services import (
    BADGES,
    HOUR_BADGES,
    HealthSeries,
    IncidentBrief,
    ServiceDetail,
    ServiceList,
    SignatureList,
    summary_of,
)
from schemas.errors import NotFound, StoreUnavailable
from schemas.health import Exemplars, ServiceHealth
from schemas.incidents import IncidentState
from schemas.queries import ServiceSummary
from sinks import redis
from sinks.clickhouse import pane_reads
from sinks.postgres import deploys, incidents
from sinks.stores import Stores

router = APIRouter(prefix=f"{API}/services", tags=["services"])

MAX_SERVICES: Final = 1_000
MAX_SIGNATURES: Final = 200
MAX_POINTS: Final = 10_000
"""More than a day of panes of 10 s."""
UNRESOLVED: Final = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.MITIGATED)


@router.get(
    "",
    summary="List services",
    response_description="Services and virtual nodes with their newest window.",
    responses=examples.answer(examples_services.SERVICE_LIST),
)
async def list_services(
    tenant: Tenant,
    stores: OpenStores,
    wall_ns: WallNs,
    at: Annotated[Instant | None, Query(description="As of this instant; as of now if not given.")] = None,
) -> ServiceList:
    """Return every service and virtual node that was measured in the hour before, with its newest window."""
    if at is None:
        picture = await _current_picture(stores, tenant)
        if picture is not None:
            badges = await _badges(stores, tenant)
            items = [summary_of(health, *badges.get(health.service, ("", ""))) for health in picture]
            return ServiceList(as_of_ns=wall_ns, items=items, truncated=False)
    as_of_ns = wall_ns if at is None else at
    found = await pane_reads.services(stores.clickhouse, tenant, as_of_ns, limit=MAX_SERVICES + 1)
    return ServiceList(as_of_ns=as_of_ns, items=found[:MAX_SERVICES], truncated=len(found) > MAX_SERVICES)


async def _badges(stores: Stores, tenant: str) -> dict[str, tuple[str, str]]:
    """Return how far the baselines are, by service; nothing while Redis is away."""
    try:
        return await redis.badges(stores.redis, tenant)
    except StoreUnavailable:
        return {}


async def _current_picture(stores: Stores, tenant: str) -> list[ServiceHealth] | None:
    """Return the current picture, or None where only ClickHouse can tell."""
    try:
        return await redis.picture(stores.redis, tenant) or None
    except StoreUnavailable:
        return None


# Names may hold slashes, so this route comes before the one that takes the rest of the path for a name.
@router.get(
    "/{service:name}/health",
    summary="Get the health of a service as a series",
    response_description="Panes of 10 s, each with the sliding window that ends with it.",
    responses=examples.answer(examples_services.HEALTH_SERIES),
)
async def get_health(
    tenant: Tenant,
    stores: OpenStores,
    service: ServiceName,
    span: PaneSpan,
    operation: Annotated[
        str | None, Query(min_length=1, max_length=512, description="Only this operation (span name)."), ANY_NAME
    ] = None,
) -> HealthSeries:
    """Return rate, errors and duration of a service, or of one of its operations; at most 24 hours at once."""
    found = await pane_reads.health_series(stores.clickhouse, tenant, service, *span, operation, limit=MAX_POINTS + 1)
    return HealthSeries(
        service=service,
        operation=operation,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        items=found[:MAX_POINTS],
        truncated=len(found) > MAX_POINTS,
    )


@router.get(
    "/{service:name}/signatures",
    summary="List the error signatures of a service",
    response_description="Log templates and exceptions, most lines first, each with a sample.",
    responses=examples.answer(examples_services.SIGNATURES),
)
async def get_signatures(
    tenant: Tenant,
    stores: OpenStores,
    service: ServiceName,
    span: PaneSpan,
) -> SignatureList:
    """Return what kinds of error lines and exceptions a service wrote, and how often; at most 24 hours at once.

    Signatures are made of log records of some severity (``warn`` by default) and of the exceptions they carry.
    """
    found = await pane_reads.signatures(stores.clickhouse, tenant, service, *span, limit=MAX_SIGNATURES + 1)
    return SignatureList(
        service=service,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        items=found[:MAX_SIGNATURES],
        truncated=len(found) > MAX_SIGNATURES,
    )


@router.get(
    "/{service:name}",
    summary="Get a service",
    response_description="Its newest window, operations, callers, incidents and deploys.",
    responses=examples.answer(examples_services.SERVICE) | documented(Slug.NOT_FOUND),
)
async def get_service(tenant: Tenant, stores: OpenStores, wall_ns: WallNs, service: ServiceName) -> ServiceDetail:
    """Return one service or virtual node as it is now, with what concerns it."""
    health = await _current(stores, tenant, service, wall_ns)
    open_now = await incidents.page(
        stores.postgres, tenant, incidents.IncidentFilter(states=UNRESOLVED, service=service), limit=10
    )
    latest = await deploys.page(stores.postgres, tenant, service=service, limit=5)
    badge, by_hour = (await _badges(stores, tenant)).get(service, ("", ""))
    return ServiceDetail(
        service=health.service,
        node_kind=health.node_kind,
        pane_start_ns=health.pane_start_ns,
        window_s=health.window_s,
        window=health.window,
        **_details(health),
        baseline=BADGES.get(badge),
        hour_of_week=HOUR_BADGES.get(by_hour),
        incidents=[IncidentBrief.of(incident) for incident in open_now],
        deploys=[DeployView.of(deploy) for deploy in latest],
        links={"health": health_path(service, max(0, health.pane_start_ns - HOUR_NS), health.pane_start_ns + 1)},
    )


def _details(health: ServiceHealth | ServiceSummary) -> dict[str, Any]:
    """Return what the current picture has and a stored summary has not."""
    if isinstance(health, ServiceSummary):
        return {"exemplars": Exemplars(slow=health.slow_traces, failing=health.failing_traces)}
    return {
        "operations": health.operations,
        "edges_in": health.edges_in,
        "log_severities": health.log_severities_window,
        "signatures": health.signatures,
        "instances": health.instances,
        "versions": health.versions,
        "exemplars": health.exemplars,
    }


async def _current(stores: Stores, tenant: str, service: str, wall_ns: int) -> ServiceHealth | ServiceSummary:
    """Return the current picture of a service, from ClickHouse where Redis has none. Raises `NotFound`."""
    try:
        found = await redis.service_health(stores.redis, tenant, service)
    except StoreUnavailable:
        found = None
    if found is not None:
        return found
    stored = await pane_reads.services(stores.clickhouse, tenant, wall_ns, service=service)
    if not stored:
        raise NotFound("No such service in the last hour.")
    return stored[0]
