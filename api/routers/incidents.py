"""Incidents: list, one, timeline, hypotheses, and everything at once."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api import examples
from api.auth import Tenant
from api.cursors import read_cursor, write_cursor
from api.parameters import Cursor, IncidentId, Instant, PageLimit, ServiceFilter, check_span
from api.paths import API
from api.problems import Slug, documented
from api.resources import OpenStores
from api.views.alerts import AlertView
from api.views.evidence import PinnedView
from api.views.incidents import IncidentPage, IncidentView, Ranking, Timeline, TimelineEntry
from api.views.overview import DEPLOYS_BEFORE_NS, Overview, overview_of
from api.views.similar import SimilarIncidents
from schemas.errors import NotFound
from schemas.incidents import RESERVED_STATES, IncidentState, Severity
from schemas.snapshots import RankingSnapshot
from sinks.postgres import alerts, deploys, incidents, pins, rankings, resemblance
from sinks.stores import Stores

router = APIRouter(prefix=f"{API}/incidents", tags=["incidents"])

RankingVersion = Annotated[
    int | None, Query(ge=1, le=2**53, description="What was believed then; the newest if not given.")
]
_ONE = documented(Slug.NOT_FOUND)
TIMELINE_LIMIT = 200
_ANY_STATE = f"Any of these states. {RESERVED_STATES}"


@router.get(
    "",
    summary="List incidents",
    response_description="A page of incidents.",
    responses=examples.answer(examples.INCIDENT_PAGE),
)
async def list_incidents(
    tenant: Tenant,
    stores: OpenStores,
    state: Annotated[list[IncidentState], Query(description=_ANY_STATE, max_length=5)] = [],  # noqa: B006
    severity: Annotated[list[Severity], Query(description="Any of these severities.", max_length=4)] = [],  # noqa: B006
    service: ServiceFilter = None,
    since: Annotated[Instant | None, Query(description="Onset at or after this instant.")] = None,
    until: Annotated[Instant | None, Query(description="Onset before this instant.")] = None,
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> IncidentPage:
    """Return incidents, latest onset first, in keyset pages: new incidents never shift a page that follows."""
    check_span(since, until, "since", "until")
    which = incidents.IncidentFilter(tuple(state), tuple(severity), service, since, until)
    after = read_cursor(cursor, which)
    found = await incidents.page(stores.postgres, tenant, which, after=after, limit=limit + 1)
    items, more = found[:limit], len(found) > limit
    return IncidentPage(
        items=[IncidentView.of(incident) for incident in items],
        next_cursor=write_cursor(items[-1].position, which) if more else None,
    )


@router.get(
    "/{incident_id}",
    summary="Get an incident",
    response_description="The incident as it is now.",
    responses=examples.answer(examples.INCIDENT) | _ONE,
)
async def get_incident(tenant: Tenant, stores: OpenStores, incident_id: IncidentId) -> IncidentView:
    """Return one incident, by its id or its name (`INC-7`)."""
    return IncidentView.of(await incidents.get(stores.postgres, tenant, incident_id))


@router.get(
    "/{incident_id}/timeline",
    summary="Get what happened to an incident",
    response_description="The timeline, oldest first.",
    responses=examples.answer(examples.TIMELINE) | _ONE,
)
async def get_timeline(
    tenant: Tenant,
    stores: OpenStores,
    incident_id: IncidentId,
    after: Annotated[int, Query(ge=-1, le=2**53, description="Only entries with a larger sequence.")] = -1,
    limit: PageLimit = 200,
) -> Timeline:
    """Return the append-only timeline of an incident."""
    found = await incidents.get(stores.postgres, tenant, incident_id)
    key = found.current.incident_id
    events = await incidents.timeline(stores.postgres, tenant, key, after_sequence=after, limit=limit + 1)
    items = [TimelineEntry.of(event) for event in events[:limit]]
    return Timeline(incident_id=key, items=items, next_after=items[-1].sequence if len(events) > limit else None)


@router.get(
    "/{incident_id}/hypotheses",
    summary="Get the ranked suspects of an incident",
    response_description="The ranking, with score parts and evidence.",
    responses=examples.answer(examples.RANKING) | _ONE,
)
async def get_hypotheses(
    tenant: Tenant,
    stores: OpenStores,
    incident_id: IncidentId,
    version: RankingVersion = None,
) -> Ranking:
    """Return who is suspected, why (score parts, evidence with the query behind it), and who was ruled out."""
    found = await incidents.get(stores.postgres, tenant, incident_id)
    key = found.current.incident_id
    if version is not None:
        return Ranking.of(key, await rankings.get(stores.postgres, tenant, key, version=version))
    return await _newest_ranking(stores, tenant, key)


@router.get(
    "/{incident_id}/snapshot",
    summary="Get what a ranking was made from",
    response_description="The snapshot: findings of every node around the onset, and the near deploys.",
    responses=examples.answer(examples.SNAPSHOT) | _ONE,
)
async def get_snapshot(
    tenant: Tenant, stores: OpenStores, incident_id: IncidentId, version: RankingVersion = None
) -> RankingSnapshot:
    """Return all that a ranking looked at, with its weights: `incidentscope rank` makes the same hypotheses again."""
    found = await incidents.get(stores.postgres, tenant, incident_id)
    return await rankings.snapshot(stores.postgres, tenant, found.current.incident_id, version=version)


@router.get(
    "/{incident_id}/evidence",
    summary="Get the pinned evidence of an incident",
    response_description="What was copied when the incident opened, and at its peak.",
    responses=examples.answer(examples.PINNED) | _ONE,
)
async def get_evidence(tenant: Tenant, stores: OpenStores, incident_id: IncidentId) -> PinnedView:
    """Return traces with their spans, the attributes that set bad requests apart, the graph and the queries.

    It is kept with the incident: retention of raw telemetry does not touch it.
    """
    found = await incidents.get(stores.postgres, tenant, incident_id)
    key = found.current.incident_id
    return PinnedView.of(key, await pins.kept(stores.postgres, tenant, key))


@router.get(
    "/{incident_id}/similar",
    summary="Get earlier incidents like this one",
    response_description="Earlier incidents, most similar first, with what both have in common.",
    responses=examples.answer(examples.SIMILAR) | _ONE,
)
async def get_similar(
    tenant: Tenant,
    stores: OpenStores,
    incident_id: IncidentId,
    least: Annotated[float, Query(ge=0, le=1, description="At least this similar.")] = 0.3,
    limit: Annotated[int, Query(ge=1, le=50, description="At most this many.")] = 5,
) -> SimilarIncidents:
    """Return what happened before that looked like this: the same services, symptoms, error lines, suspects, changes.

    Similarity is the cosine of what the newest rankings saw: 1 is the same again, 0 has nothing in common. Error lines
    that say the same in other words add up to 0.4 to an incident that has nothing else in common.
    """
    found = await incidents.get(stores.postgres, tenant, incident_id)
    key = found.current.incident_id
    alike = await resemblance.alike(stores.postgres, tenant, key, least=least, limit=limit)
    whole = await asyncio.gather(*(incidents.get(stores.postgres, tenant, one.incident_id) for one in alike))
    ranked = await rankings.newest(stores.postgres, tenant, [one.incident_id for one in alike])
    return SimilarIncidents.of(key, alike, whole, ranked)


@router.get(
    "/{incident_id}/overview",
    summary="Get everything about an incident at once",
    response_description="Incident, story, ranking, near deploys, alerts, timeline and links.",
    responses=examples.answer(examples.OVERVIEW) | _ONE,
)
async def get_overview(tenant: Tenant, stores: OpenStores, incident_id: IncidentId) -> Overview:
    """Return what the on-call person needs first: root cause, first critical failure, impact, evidence, changes."""
    pool = stores.postgres
    incident = IncidentView.of(await incidents.get(pool, tenant, incident_id))
    key, onset_ns = incident.incident_id, incident.onset_ns
    ranking, near, sent, events = await asyncio.gather(
        _newest_ranking(stores, tenant, key),
        deploys.page(
            pool,
            tenant,
            since_ns=onset_ns - DEPLOYS_BEFORE_NS,
            until_ns=max(incident.updated_ns, onset_ns) + 1,
            limit=50,
        ),
        alerts.page(pool, tenant, incident_id=key, limit=50),
        incidents.timeline(pool, tenant, key, limit=TIMELINE_LIMIT),
    )
    return overview_of(
        incident, ranking, near, [AlertView.of(alert) for alert in sent], [TimelineEntry.of(event) for event in events]
    )


async def _newest_ranking(stores: Stores, tenant: str, incident_id: str) -> Ranking:
    try:
        return Ranking.of(incident_id, await rankings.get(stores.postgres, tenant, incident_id))
    except NotFound:
        return Ranking.of(incident_id, None)
