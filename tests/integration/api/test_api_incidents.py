"""Incidents over HTTP: pages, filters, timeline, ranking, overview, and that tenants never meet."""

from __future__ import annotations

from typing import Any

import pytest
from api_caller import Caller

from api import examples
from api.examples import EVENT, HYPOTHESIS, ONSET_NS, SNAPSHOT, TRACE_ID
from schemas.incidents import Alert, Deploy, HypothesisSet, IncidentEvent, IncidentState, Place, RuledOut, Severity
from schemas.snapshots import RankingSnapshot
from sinks.postgres import deploys, incidents, outbox, rankings, resemblance
from streams.resemblance import vector_of

MINUTE_NS = 60_000_000_000


async def store_incident(caller: Caller, number: int = 1, **other: Any) -> IncidentEvent:
    """Store an incident of one event; later numbers have later onsets."""
    given = {
        "tenant": caller.tenant,
        "incident_id": f"inc-{number}",
        "event_id": f"evt-{number}-0",
        "sequence": 0,
        "kind": "opened",
        "onset_ns": ONSET_NS + number * MINUTE_NS,
        "at_ns": ONSET_NS + number * MINUTE_NS + 70_000_000_000,
    }
    event = EVENT.model_copy(update=given | other)
    await incidents.apply_event(caller.stores.postgres, event)
    return event


async def test_incidents_come_latest_first_in_pages_that_new_ones_do_not_shift(acme: Caller) -> None:
    """Every incident once, although another opens between two pages."""
    for number in range(7):
        await store_incident(acme, number)
    seen: list[str] = []
    page = (await acme.get("/incidents", limit=3)).json()
    while True:
        seen += [item["incident_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        await store_incident(acme, 100 + len(seen))
        page = (await acme.get("/incidents", limit=3, cursor=page["next_cursor"])).json()
    assert seen == [f"inc-{number}" for number in (6, 5, 4, 3, 2, 1, 0)]


async def test_incidents_are_filtered_by_state_severity_service_and_time(acme: Caller) -> None:
    """Each alone and all together."""
    await store_incident(acme, 1, state=IncidentState.RESOLVED)
    await store_incident(acme, 2, severity=Severity.LOW)
    await store_incident(acme, 3, services=[EVENT.services[1].model_copy(update={"service": "cart"})])
    await store_incident(acme, 4)

    async def found(**filters: Any) -> list[str]:
        response = await acme.get("/incidents", **filters)
        assert response.status_code == 200, response.text
        return [item["incident_id"] for item in response.json()["items"]]

    assert await found(state="open") == ["inc-4", "inc-3", "inc-2"]
    assert await found(state=["open", "resolved"]) == ["inc-4", "inc-3", "inc-2", "inc-1"]
    assert await found(severity=["low", "critical"]) == ["inc-2"]
    assert await found(service="cart") == ["inc-3"]
    assert await found(since=ONSET_NS + 2 * MINUTE_NS, until="2026-11-23T09:33:00Z") == ["inc-2"]
    assert await found(state="open", severity="high", service="checkout", since=0) == ["inc-4"]
    assert await found(service="nobody") == []


async def test_an_incident_is_found_by_id_and_by_name(acme: Caller) -> None:
    """Instants come as nanoseconds and as text."""
    await store_incident(acme, 0)
    by_id = (await acme.get("/incidents/inc-0")).json()
    assert by_id == (await acme.get(f"/incidents/{by_id['name']}")).json()
    assert (by_id["onset_ns"], by_id["onset_at"]) == (ONSET_NS, "2026-11-23T09:30:00.000Z")
    assert by_id["resolved_at"] is None
    assert (await acme.http.get(by_id["links"]["timeline"])).status_code == 200


@pytest.mark.parametrize("part", ["", "/timeline", "/hypotheses", "/evidence", "/overview"])
async def test_what_is_not_there_and_what_is_anothers_look_the_same(acme: Caller, other: Caller, part: str) -> None:
    """404 in both cases, with the same words but for the id."""
    await store_incident(acme, 5)
    assert (await acme.get(f"/incidents/inc-5{part}")).status_code == 200
    anothers = await other.get(f"/incidents/inc-5{part}")
    nobodys = await other.get(f"/incidents/inc-6{part}")
    assert (anothers.status_code, nobodys.status_code) == (404, 404)
    assert anothers.json()["detail"].replace("inc-5", "inc-6") == nobodys.json()["detail"]
    assert (await other.get("/incidents")).json()["items"] == []
    assert (await other.get("/incidents/INC-1")).status_code == 404


async def test_the_timeline_is_whole_and_can_be_read_on(acme: Caller) -> None:
    """Oldest first, in pages by sequence."""
    for sequence in range(5):
        await store_incident(acme, 1, sequence=sequence, event_id=f"evt-{sequence}", kind="updated")
    first = (await acme.get("/incidents/inc-1/timeline", limit=3)).json()
    rest = (await acme.get("/incidents/inc-1/timeline", after=first["next_after"])).json()
    assert [entry["sequence"] for entry in first["items"] + rest["items"]] == [0, 1, 2, 3, 4]
    assert rest["next_after"] is None
    assert (await acme.get("/incidents/inc-1/timeline", after=4)).json()["items"] == []
    incident = (await acme.get("/incidents/inc-1")).json()
    assert first["items"][0]["reasons"] == [one["reason"] for one in incident["services"]] != []


def ranked(tenant: str, version: int, title: str) -> HypothesisSet:
    """Make a ranking with a root cause and a first critical failure."""
    failure = HYPOTHESIS.model_copy(
        update={"rank": 2, "service": "checkout", "place": Place.FIRST_CRITICAL_FAILURE, "title": "checkout times out"}
    )
    return HypothesisSet(
        tenant=tenant,
        incident_id="inc-1",
        version=version,
        as_of_ns=ONSET_NS,
        weights_version="w1",
        hypotheses=[HYPOTHESIS.model_copy(update={"title": title}), failure],
        ruled_out=[RuledOut(service="cart", reason="calm")],
    )


async def test_the_ranking_is_the_newest_or_the_one_that_was_believed_then(acme: Caller) -> None:
    """An incident that is not ranked yet has an empty ranking, not an error."""
    await store_incident(acme, 1)
    assert (await acme.get("/incidents/inc-1/hypotheses")).json()["version"] == 0
    for version in (1, 2):
        await rankings.put(acme.stores.postgres, ranked(acme.tenant, version, f"belief {version}"), SNAPSHOT)
    newest = (await acme.get("/incidents/inc-1/hypotheses")).json()
    assert (newest["version"], newest["hypotheses"][0]["title"]) == (2, "belief 2")
    assert newest["hypotheses"][0]["parts"][0]["contribution"] == 7.1
    assert newest["hypotheses"][0]["evidence"][0]["trace_ids"] == [TRACE_ID]
    before = (await acme.get("/incidents/inc-1/hypotheses", version=1)).json()
    assert before["hypotheses"][0]["title"] == "belief 1"
    assert (await acme.get("/incidents/inc-1/hypotheses", version=3)).status_code == 404


async def test_what_a_ranking_was_made_from_can_be_read(acme: Caller, other: Caller) -> None:
    """As it was stored with it; another tenant's is not there."""
    await store_incident(acme, 1)
    assert (await acme.get("/incidents/inc-1/snapshot")).status_code == 404
    await rankings.put(acme.stores.postgres, ranked(acme.tenant, 1, "the database is slow"), SNAPSHOT)
    found = (await acme.get("/incidents/inc-1/snapshot", version=1)).json()
    assert RankingSnapshot.model_validate(found) == SNAPSHOT
    assert (await other.get("/incidents/inc-1/snapshot")).status_code == 404


async def test_the_overview_tells_the_story_in_one_call(acme: Caller, other: Caller) -> None:
    """Root cause, first critical failure, impact, evidence, near deploys, alerts, timeline, links."""
    event = await store_incident(acme, 1)
    await rankings.put(acme.stores.postgres, ranked(acme.tenant, 1, "the database is slow"), SNAPSHOT)
    for deploy_id, tenant, service, before_min in [
        ("near", acme.tenant, "checkout", 2),
        ("elsewhere", acme.tenant, "newsletter", 1),
        ("long-ago", acme.tenant, "checkout", 300),
        ("anothers", other.tenant, "checkout", 2),
    ]:
        at_ns = event.onset_ns - before_min * MINUTE_NS
        await deploys.record(
            acme.stores.postgres, Deploy(deploy_id=deploy_id, tenant=tenant, service=service, at_ns=at_ns)
        )
    alert = examples.ALERT.alert.model_copy(update={"tenant": acme.tenant, "incident_id": "inc-1"})
    await outbox.enqueue(acme.stores.postgres, Alert.model_validate(alert), ["topic"], event.at_ns)

    found = (await acme.get("/incidents/inc-1/overview")).json()
    story = found["story"]
    assert story["root_cause"]["title"] == "the database is slow"
    assert story["root_cause"]["trace_ids"] == [TRACE_ID]
    assert story["first_critical_failure"]["service"] == "checkout"
    assert story["impact_services"] == []
    assert "the database is slow" in story["summary"]
    assert [(one["deploy"]["deploy_id"], one["in_incident"]) for one in found["deploys"]] == [
        ("near", True),
        ("elsewhere", False),
    ]
    assert found["deploys"][0]["before_onset_s"] == 120.0
    assert [delivery["receiver"] for delivery in found["alerts"][0]["deliveries"]] == ["nobody", "topic"]
    assert [entry["kind"] for entry in found["timeline"]] == ["opened"]
    for name, path in found["links"].items():
        if not name.startswith("trace"):
            assert (await acme.http.get(path)).status_code == 200, path


async def test_without_a_ranking_no_symptom_is_called_a_root_cause(acme: Caller) -> None:
    """The story says so."""
    await store_incident(acme, 1)
    story = (await acme.get("/incidents/inc-1/overview")).json()["story"]
    assert (story["root_cause"], story["first_critical_failure"]) == (None, None)
    assert story["summary"].startswith("No root cause stands out yet.")
    assert story["impact_services"] == ["postgresql:orders", "checkout"]


async def test_earlier_incidents_like_one_are_found(acme: Caller, other: Caller) -> None:
    """With what both have and what was the cause then; another tenant's are not there."""
    features = {"service cart": 0.5, "suspect service cart": 2.0}
    pool = acme.stores.postgres
    for caller, number in ((acme, 1), (acme, 2), (other, 1)):
        event = await store_incident(caller, number)
        key = (caller.tenant, event.incident_id, 1, event.onset_ns)
        await resemblance.keep(pool, *key, features, vector_of(features))
    await rankings.put(pool, ranked(acme.tenant, 1, "the database is slow"), SNAPSHOT)
    found = (await acme.get("/incidents/inc-2/similar")).json()
    (item,) = found["items"]
    assert (item["incident"]["incident_id"], item["similarity"]) == ("inc-1", 1.0)
    assert item["shared"] == ["suspect service cart", "service cart"]
    assert item["cause"] == "the database is slow"
    assert (await acme.get("/incidents/inc-1/similar")).json()["items"] == []
    assert (await other.get("/incidents/inc-2/similar")).status_code == 404
    assert (await acme.get("/incidents/inc-2/similar", least=1.5)).status_code == 422
