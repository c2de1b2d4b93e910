"""Alerts, with their delivery log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import examples
from api.auth import Tenant
from api.cursors import read_cursor, write_cursor
from api.parameters import Cursor, PageLimit
from api.paths import API
from api.problems import Slug, documented
from api.resources import OpenStores
from api.views.alerts import AlertPage, AlertView
from sinks.postgres import alerts

router = APIRouter(prefix=f"{API}/alerts", tags=["alerts"])

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"


@router.get(
    "",
    summary="List alerts and their deliveries",
    response_description="A page of alerts.",
    responses=examples.answer(examples.ALERT_PAGE),
)
async def list_alerts(
    tenant: Tenant,
    stores: OpenStores,
    incident_id: Annotated[str | None, Query(pattern=ID_PATTERN, description="Only of this incident.")] = None,
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> AlertPage:
    """Return alerts, latest first, in keyset pages, each with every receiver and every attempt."""
    filters = ("alerts", incident_id)
    after = read_cursor(cursor, filters)
    found = await alerts.page(stores.postgres, tenant, incident_id=incident_id, after=after, limit=limit + 1)
    items, more = found[:limit], len(found) > limit
    return AlertPage(
        items=[AlertView.of(stored) for stored in items],
        next_cursor=write_cursor(items[-1].position, filters) if more else None,
    )


@router.get(
    "/{alert_id}",
    summary="Get an alert and its deliveries",
    response_description="The alert.",
    responses=examples.answer(examples.ALERT) | documented(Slug.NOT_FOUND),
)
async def get_alert(
    tenant: Tenant,
    stores: OpenStores,
    alert_id: Annotated[str, Path(pattern=ID_PATTERN, description="Id of an alert.")],
) -> AlertView:
    """Return one alert with every receiver and every attempt."""
    return AlertView.of(await alerts.get(stores.postgres, tenant, alert_id))
