"""Deploys: announce one, list them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Response

from api import examples
from api.auth import Tenant
from api.cursors import read_cursor, write_cursor
from api.parameters import CLEAN_TEXT, Cursor, Instant, PageLimit, ServiceFilter, check_span
from api.paths import API
from api.problems import FieldError, Problem, Slug, documented
from api.resources import OpenStores, WallNs
from api.views.deploys import DeployPage, DeployRequest, DeployView
from schemas.incidents import Deploy
from schemas.keys import TENANT_HEADER, tenant_key
from schemas.topics import DEPLOYS
from sinks.postgres import deploys
from sinks.stores import Stores

router = APIRouter(prefix=f"{API}/deploys", tags=["deploys"])

FUTURE_LIMIT_NS = 600 * 1_000_000_000
"""A deploy further in the future than clocks differ has not gone live."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A retry with the same key is the same deploy (where no `deploy_id` is given).",
    ),
    CLEAN_TEXT,
]


@router.post(
    "",
    status_code=201,
    summary="Announce a deploy",
    response_description="Stored, and on its way to be weighed as a suspect.",
    responses=examples.answer(examples.DEPLOY, status=201)
    | examples.answer(examples.DEPLOY, status=200, description="It was known already; nothing has changed.")
    | documented(Slug.TOO_SLOW, Slug.CONFLICT, Slug.TOO_LARGE, Slug.UNSUPPORTED_MEDIA_TYPE),
)
async def announce_deploy(
    tenant: Tenant,
    stores: OpenStores,
    received_ns: WallNs,
    announced: Annotated[DeployRequest, Body(openapi_examples=examples.DEPLOY_REQUESTS)],
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> DeployView:
    """Tell that something went live, so that it can be a suspect.

    Call it at the end of a deployment job. The answer comes when the deploy is stored in PostgreSQL and
    confirmed by Kafka; on 503 send it again, with the same `deploy_id` or `Idempotency-Key`.
    """
    deploy = announced.deploy(tenant, idempotency_key, received_ns)
    if deploy.at_ns > received_ns + FUTURE_LIMIT_NS:
        detail = "A deploy that went live cannot lie in the future."
        raise Problem(Slug.INVALID, detail, errors=[FieldError(where="body.at", detail=detail)])
    if not await deploys.record(stores.postgres, deploy):
        deploy = await _known(stores, deploy, at_was_given=announced.at is not None)
        response.status_code = 200
    # Also for a known one: the request before this may have failed exactly here.
    await stores.producer.send(
        DEPLOYS.name,
        deploy.model_dump_json().encode(),
        key=tenant_key(tenant),
        headers=[(TENANT_HEADER, tenant.encode())],
    )
    return DeployView.of(deploy)


async def _known(stores: Stores, deploy: Deploy, *, at_was_given: bool) -> Deploy:
    """Return what is stored under this id. Raises `Problem` (409) when it says something else."""
    stored = await deploys.get(stores.postgres, deploy.tenant, deploy.deploy_id)
    same = deploy if at_was_given else deploy.model_copy(update={"at_ns": stored.at_ns})
    if same != stored:
        raise Problem(Slug.CONFLICT, f"Deploy {deploy.deploy_id} is stored with other content.")
    return stored


@router.get(
    "",
    summary="List deploys",
    response_description="A page of deploys.",
    responses=examples.answer(examples.DEPLOY_PAGE),
)
async def list_deploys(
    tenant: Tenant,
    stores: OpenStores,
    service: ServiceFilter = None,
    since: Annotated[Instant | None, Query(description="Live at or after this instant.")] = None,
    until: Annotated[Instant | None, Query(description="Live before this instant.")] = None,
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> DeployPage:
    """Return deploys, latest first, in keyset pages."""
    check_span(since, until, "since", "until")
    filters = ("deploys", service, since, until)
    found = await deploys.page(
        stores.postgres,
        tenant,
        service=service,
        since_ns=since,
        until_ns=until,
        after=read_cursor(cursor, filters),
        limit=limit + 1,
    )
    items, more = found[:limit], len(found) > limit
    return DeployPage(
        items=[DeployView.of(deploy) for deploy in items],
        next_cursor=write_cursor((items[-1].at_ns, items[-1].deploy_id), filters) if more else None,
    )
