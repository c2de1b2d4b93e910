"""The service map."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, examples_services
from api.auth import Tenant
from api.parameters import Instant
from api.paths import API
from api.resources import OpenStores, WallNs
from api.views.services import MAX_EDGES, ServiceMap, current_map
from schemas.errors import StoreUnavailable
from sinks import redis
from sinks.clickhouse import pane_reads

router = APIRouter(prefix=f"{API}/edges", tags=["edges"])


@router.get(
    "",
    summary="Get the service map",
    response_description="Nodes and edges, each edge from both sides.",
    responses=examples.answer(examples_services.MAP),
)
async def get_map(
    tenant: Tenant,
    stores: OpenStores,
    wall_ns: WallNs,
    at: Annotated[Instant | None, Query(description="As of this instant; as of now if not given.")] = None,
) -> ServiceMap:
    """Return who called whom: client side, server side, and the gap between them (network and queues).

    At an instant: each edge's newest window of the five minutes before.
    """
    if at is None:
        try:
            picture = await redis.picture(stores.redis, tenant)
        except StoreUnavailable:
            picture = []
        if picture:
            return current_map(picture, wall_ns)
    at_ns = wall_ns if at is None else at
    found = await pane_reads.edges_at(stores.clickhouse, tenant, at_ns, limit=MAX_EDGES + 1)
    return ServiceMap.of(at_ns, found)
