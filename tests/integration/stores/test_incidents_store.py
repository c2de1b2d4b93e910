"""Incidents, timeline and hypotheses on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import random

import asyncpg
import pytest
from store_examples import MINUTE_NS, ONSET_NS, incident_event, ranking, snapshot

from schemas.errors import NotFound, StoreRejected
from schemas.incidents import IncidentEvent, IncidentState, ResolveReason, Severity
from sinks.postgres import incidents, rankings
from sinks.postgres.incidents import IncidentFilter
from sinks.postgres.pool import Pool

STORY = [
    incident_event(sequence=0, severity=Severity.LOW),
    incident_event(sequence=1, kind="severity_changed", severity=Severity.HIGH),
    incident_event(sequence=2, kind="service_joined", services=["checkout", "cart"], onset_ns=ONSET_NS - MINUTE_NS),
    incident_event(sequence=3, kind="resolved", state=IncidentState.RESOLVED, resolve_reason=ResolveReason.RECOVERED),
]


async def facts(pool: Pool) -> list[tuple[object, ...]]:
    """Return everything stored about incidents, less the wall clock."""
    found: list[tuple[object, ...]] = []
    for table in ("incidents", "incident_events", "incident_hypotheses"):
        rows = await pool.fetch(f"SELECT to_jsonb(t) - 'recorded_at' - 'number' AS row FROM {table} t ORDER BY 1")
        found += [(table, row["row"]) for row in rows]
    return found


async def test_an_event_comes_back_exactly_as_it_was(pool: Pool) -> None:
    """Nanoseconds, floats and nested parts survive the store."""
    assert await incidents.apply_event(pool, STORY[0])
    stored = await incidents.get(pool, "acme", "inc-a")
    assert stored.current == STORY[0]
    assert (stored.opened_ns, stored.updated_ns, stored.resolved_ns) == (STORY[0].at_ns, STORY[0].at_ns, None)


async def test_a_replay_changes_nothing(pool: Pool) -> None:
    """Events that are known already are told so, and nothing moves."""
    for event in STORY:
        assert await incidents.apply_event(pool, event)
    before = await facts(pool)
    for event in STORY:
        assert not await incidents.apply_event(pool, event)
    assert await facts(pool) == before


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1::5])
async def test_the_order_of_arrival_does_not_matter(pool: Pool, order: tuple[int, ...]) -> None:
    """The state is that of the largest sequence, and the timeline is in order, however they come."""
    for index in order:
        await incidents.apply_event(pool, STORY[index])
    stored = await incidents.get(pool, "acme", "inc-a")
    assert stored.current == STORY[3]
    assert (stored.opened_ns, stored.updated_ns, stored.resolved_ns) == (STORY[0].at_ns, STORY[3].at_ns, STORY[3].at_ns)
    assert await incidents.timeline(pool, "acme", "inc-a") == STORY


async def test_two_workers_at_once_end_where_one_does(pool: Pool) -> None:
    """Every event from two workers at the same time: one incident, one number, every event once."""
    twice = STORY * 2
    random.Random(7).shuffle(twice)
    new = await asyncio.gather(*(incidents.apply_event(pool, event) for event in twice))
    assert sum(new) == len(STORY)
    assert (await incidents.get(pool, "acme", "inc-a")).current == STORY[3]
    assert await incidents.timeline(pool, "acme", "inc-a") == STORY
    assert await pool.fetchval("SELECT count(*) FROM incidents") == 1


async def test_a_reopened_incident_is_not_resolved(pool: Pool) -> None:
    """The end is forgotten when it goes on."""
    await incidents.apply_event(pool, STORY[3])
    await incidents.apply_event(pool, incident_event(sequence=4, kind="reopened"))
    assert (await incidents.get(pool, "acme", "inc-a")).resolved_ns is None


async def test_the_timeline_can_only_grow(pool: Pool) -> None:
    """The database itself refuses to change what happened."""
    await incidents.apply_event(pool, STORY[0])
    with pytest.raises(asyncpg.RestrictViolationError):
        await pool.execute("UPDATE incident_events SET kind = 'resolved'")


async def test_each_tenant_counts_its_incidents_from_one(pool: Pool) -> None:
    """INC-1 of one tenant is not INC-1 of another, and events do not use numbers up."""
    for event in STORY:
        await incidents.apply_event(pool, event)
    await incidents.apply_event(pool, incident_event("inc-b"))
    await incidents.apply_event(pool, incident_event("inc-x", tenant="other"))
    assert (await incidents.get(pool, "acme", "INC-2")).current.incident_id == "inc-b"
    assert (await incidents.get(pool, "other", "inc-x")).name == "INC-1"


async def test_another_tenant_finds_nothing(pool: Pool) -> None:
    """Ids, names, pages, timelines, rankings and counts of a tenant are invisible to another one."""
    for event in STORY:
        await incidents.apply_event(pool, event)
    await rankings.put(pool, ranking(), snapshot())
    for name in ("inc-a", "INC-1"):
        with pytest.raises(NotFound):
            await incidents.get(pool, "other", name)
    with pytest.raises(NotFound):
        await incidents.timeline(pool, "other", "inc-a")
    with pytest.raises(NotFound):
        await rankings.get(pool, "other", "inc-a")
    assert await rankings.newest(pool, "other", ["inc-a"]) == {}
    assert await incidents.page(pool, "other") == []
    assert not any((await incidents.count_by_state(pool, "other")).values())


async def test_the_same_ids_live_in_two_tenants(pool: Pool) -> None:
    """Ids of another tenant neither collide nor overwrite."""
    theirs = incident_event(tenant="other", title="theirs")
    assert await incidents.apply_event(pool, STORY[0])
    assert await incidents.apply_event(pool, theirs)
    assert await rankings.put(pool, ranking(), snapshot())
    assert await rankings.put(pool, ranking(tenant="other", service="theirs"), snapshot())
    assert (await incidents.get(pool, "acme", "inc-a")).current == STORY[0]
    assert (await incidents.get(pool, "other", "inc-a")).current == theirs
    assert (await rankings.get(pool, "acme", "inc-a")).hypotheses[0].service == "cart"


async def test_pages_show_every_incident_once(pool: Pool) -> None:
    """Latest onset first, ties by id, no gap and no repeat; what comes in meanwhile at the top moves nothing."""
    for number in range(7):
        await incidents.apply_event(pool, incident_event(f"inc-{number}", onset_ns=ONSET_NS + number // 2 * MINUTE_NS))
    seen: list[str] = []
    after = None
    while found := await incidents.page(pool, "acme", after=after, limit=3):
        seen += [incident.current.incident_id for incident in found]
        after = found[-1].position
        await incidents.apply_event(pool, incident_event(f"late-{len(seen)}", onset_ns=ONSET_NS + 99 * MINUTE_NS))
    assert seen == ["inc-6", "inc-5", "inc-4", "inc-3", "inc-2", "inc-1", "inc-0"]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (IncidentFilter(), "abcd"),
        (IncidentFilter(states=[IncidentState.OPEN]), "acd"),
        (IncidentFilter(states=[IncidentState.RESOLVED, IncidentState.CLOSED]), "b"),
        (IncidentFilter(severities=[Severity.CRITICAL, Severity.LOW]), "cd"),
        (IncidentFilter(service="cart"), "bd"),
        (IncidentFilter(service="car"), ""),
        (IncidentFilter(service="cart", states=[IncidentState.OPEN]), "d"),
        (IncidentFilter(since_ns=ONSET_NS + MINUTE_NS, until_ns=ONSET_NS + 3 * MINUTE_NS), "bc"),
        (IncidentFilter(since_ns=-(10**30), until_ns=10**30), "abcd"),
        (IncidentFilter(service="x\x00\ud800y' OR true --"), ""),
    ],
)
async def test_filters_choose(pool: Pool, which: IncidentFilter, expected: str) -> None:
    """Each filter narrows, all together are an and; nothing a client writes makes the database refuse."""
    for minute, event in enumerate(
        [
            incident_event("a"),
            incident_event("b", services=["checkout", "cart"], state=IncidentState.RESOLVED),
            incident_event("c", severity=Severity.LOW),
            incident_event("d", severity=Severity.CRITICAL, services=["cart"]),
        ]
    ):
        await incidents.apply_event(pool, event.model_copy(update={"onset_ns": ONSET_NS + minute * MINUTE_NS}))
    found = await incidents.page(pool, "acme", which, after=(10**30, "\x00"))
    assert "".join(sorted(incident.current.incident_id for incident in found)) == expected


async def test_every_state_is_counted(pool: Pool) -> None:
    """States without an incident are there with 0."""
    await incidents.apply_event(pool, incident_event("a"))
    await incidents.apply_event(pool, incident_event("b", state=IncidentState.RESOLVED))
    counted = await incidents.count_by_state(pool, "acme")
    assert set(counted) == set(IncidentState)
    assert (counted[IncidentState.OPEN], counted[IncidentState.RESOLVED], counted[IncidentState.CLOSED]) == (1, 1, 0)


async def test_what_text_columns_cannot_hold_becomes_a_replacement_character(pool: Pool) -> None:
    """A NUL or half a surrogate pair in a service name stops nothing."""
    event = incident_event(title="nul \x00 escaped \\u0000 half \ud800", services=["che\x00ckout"])
    assert await incidents.apply_event(pool, event)
    stored = (await incidents.page(pool, "acme", IncidentFilter(service="che\x00ckout")))[0].current
    assert stored.title == "nul \ufffd escaped \\u0000 half \ufffd"
    assert stored.services[0].service == "che\ufffdckout"


async def test_a_number_that_json_cannot_carry_is_our_bug(pool: Pool) -> None:
    """NaN is refused by name instead of becoming null."""
    event = incident_event()
    impact = event.impact.model_copy(update={"share": float("nan")})
    with pytest.raises(StoreRejected, match="IncidentEvent"):
        await incidents.apply_event(pool, IncidentEvent.model_construct(**dict(event) | {"impact": impact}))
    assert await pool.fetchval("SELECT count(*) FROM incident_events") == 0
