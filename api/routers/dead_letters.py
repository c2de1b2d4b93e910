"""Dead letters: list them, look at one, send one again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import examples, examples_operations
from api.auth import Tenant
from api.cursors import read_cursor, write_cursor
from api.parameters import Cursor, Instant, PageLimit, check_span
from api.paths import API
from api.problems import Slug, documented
from api.resources import AppSettings, OpenStores, WallNs
from api.views.dead_letters import LetterDetail, LetterPage, LetterView
from schemas.dead_letters import LetterKey
from schemas.errors import NotFound, RejectReason
from schemas.topics import LOGS, METRICS, TRACES
from sinks.postgres import dead_letters
from sinks.postgres.dead_letters import LetterFilter, LetterState
from sinks.replaying import Sender, replay_letter

router = APIRouter(prefix=f"{API}/dead-letters", tags=["dead letters"])

KeyPath = Annotated[
    str,
    Path(
        max_length=160,
        pattern=r"^[A-Za-z0-9._-]+:[0-9]+:[0-9]+:(-1|[0-9]+)$",
        description="`topic:partition:offset:item`.",
        examples=["otel.traces:0:4711:-1"],
    ),
]


@router.get(
    "",
    summary="List dead letters",
    response_description="A page of letters, without their payloads.",
    responses=examples.answer(examples_operations.LETTER_PAGE),
)
async def list_letters(
    tenant: Tenant,
    stores: OpenStores,
    topic: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9._-]{1,100}$",
            description=f"`{TRACES.name}`, `{METRICS.name}` or `{LOGS.name}`.",
            examples=[TRACES.name],
        ),
    ] = None,
    reason: Annotated[RejectReason | None, Query(description="Only refused for this reason.")] = None,
    state: Annotated[LetterState | None, Query(description="Only open or only replayed ones.")] = None,
    since: Annotated[Instant | None, Query(description="Arrived at or after this instant.")] = None,
    until: Annotated[Instant | None, Query(description="Arrived before this instant.")] = None,
    cursor: Cursor = None,
    limit: PageLimit = 50,
) -> LetterPage:
    """Return what was refused of this tenant, latest first, in keyset pages."""
    check_span(since, until, "since", "until")
    filters = ("dead letters", topic, reason, state, since, until)
    wanted = LetterFilter(tenant, topic, reason, state, since, until)
    after = read_cursor(cursor, filters)
    found = await dead_letters.page(stores.postgres, wanted, after=after, limit=limit + 1, is_brief=True)
    items, more = found[:limit], len(found) > limit
    return LetterPage(
        items=[LetterView.of(stored) for stored in items],
        next_cursor=write_cursor(items[-1].position, filters) if more else None,
    )


@router.get(
    "/{key}",
    summary="Get a dead letter",
    response_description="The letter, with what is kept of its payload.",
    responses=examples.answer(examples_operations.LETTER) | documented(Slug.NOT_FOUND),
)
async def get_letter(tenant: Tenant, stores: OpenStores, key: KeyPath) -> LetterDetail:
    """Return one letter."""
    return LetterDetail.of(await dead_letters.get(stores.postgres, tenant, _parsed(key)))


@router.post(
    "/{key}/replay",
    summary="Send a dead letter again",
    response_description="It is on its topic again, confirmed.",
    responses=examples.answer(examples_operations.LETTER) | documented(Slug.NOT_FOUND, Slug.CONFLICT, Slug.TOO_LARGE),
)
async def replay(
    tenant: Tenant, stores: OpenStores, settings: AppSettings, wall_ns: WallNs, key: KeyPath
) -> LetterDetail:
    """Send the original through its topic again, for instance after an update that understands it.

    However often it is sent, it is stored once. Refused again, the letter is open again with the next `attempt`. 409
    when it is replayed already, has no value, or only a prefix was kept and the original is gone from the topic.
    """
    stored = await dead_letters.get(stores.postgres, tenant, _parsed(key))
    await replay_letter(Sender(settings, stores.postgres, stores.producer), stored, wall_ns)
    return LetterDetail.of(await dead_letters.get(stores.postgres, tenant, _parsed(key)))


def _parsed(key: str) -> LetterKey:
    try:
        return LetterKey.parse(key)
    except ValueError:
        raise NotFound(f"no dead letter {key}") from None
