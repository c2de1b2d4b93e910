"""Deploys and alerts over HTTP: stored and produced before the answer, idempotent, apart by tenant."""

from __future__ import annotations

from typing import Any

import pytest
from api_caller import Caller, records_of

from api import examples
from schemas.incidents import Deploy
from sinks.postgres import outbox

AT = "2026-11-23T09:28:00Z"


async def announce(caller: Caller, idempotency_key: str | None = None, **body: Any) -> Any:
    """Post a deploy."""
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    return await caller.http.post("/api/v1/deploys", json=body, headers=headers)


async def test_an_announced_deploy_is_stored_and_produced_before_the_answer(acme: Caller) -> None:
    """201, then it is in the list and on the topic, under the key's tenant."""
    response = await announce(acme, service="checkout", deploy_id="d-1", version="5.12.0", at=AT)
    assert response.status_code == 201, response.text
    stored = response.json()
    assert (stored["tenant"], stored["source"], stored["at"]) == (acme.tenant, "api", "2026-11-23T09:28:00.000Z")
    assert (await acme.get("/deploys")).json()["items"] == [stored]
    (record,) = await records_of(acme, "deploys.events")
    produced = Deploy.model_validate_json(record.value or b"")
    assert (produced.deploy_id, produced.at_ns, record.key) == ("d-1", stored["at_ns"], acme.tenant.encode())


@pytest.mark.parametrize(
    ("idempotency_key", "body"),
    [
        (None, {"deploy_id": "d-1"}),
        ("run 77", {}),
        ("run 77", {"deploy_id": "d-1"}),
        (None, {"at": AT}),
    ],
    ids=["deploy_id", "Idempotency-Key", "both", "content and instant"],
)
async def test_the_same_deploy_sent_again_changes_nothing(
    acme: Caller, idempotency_key: str | None, body: dict[str, str]
) -> None:
    """The second answer is 200 with what is stored; the topic hears it again under the same id."""
    first = await announce(acme, idempotency_key, service="checkout", **body)
    second = await announce(acme, idempotency_key, service="checkout", **body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert len((await acme.get("/deploys")).json()["items"]) == 1


async def test_other_content_under_a_known_id_is_a_conflict(acme: Caller, other: Caller) -> None:
    """And stays what it was; another tenant's equal id is another deploy."""
    await announce(acme, service="checkout", deploy_id="d-1", at=AT)
    for change in ({"service": "cart"}, {"version": "2"}, {"at": "2026-11-23T09:29:00Z"}):
        response = await announce(acme, **({"service": "checkout", "deploy_id": "d-1", "at": AT} | change))
        assert (response.status_code, response.json()["title"]) == (409, "The request contradicts what is stored")
    assert (await announce(other, service="cart", deploy_id="d-1", at=AT)).status_code == 201
    assert [item["service"] for item in (await acme.get("/deploys")).json()["items"]] == ["checkout"]


async def test_deploys_are_listed_by_service_and_time_in_pages(acme: Caller, other: Caller) -> None:
    """Latest first."""
    for minute in range(5):
        service = "cart" if minute % 2 else "checkout"
        await announce(acme, service=service, deploy_id=f"d-{minute}", at=f"2026-11-23T09:0{minute}:00Z")
    page = (await acme.get("/deploys", limit=3)).json()
    rest = (await acme.get("/deploys", limit=3, cursor=page["next_cursor"])).json()
    assert [item["deploy_id"] for item in page["items"] + rest["items"]] == [f"d-{n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next_cursor"] is None
    assert len((await acme.get("/deploys", service="cart", since="2026-11-23T09:02:00Z")).json()["items"]) == 1
    assert (await other.get("/deploys")).json()["items"] == []
    wrong = await acme.get("/deploys", limit=3, cursor=page["next_cursor"], service="cart")
    assert wrong.status_code == 422


async def test_text_of_a_deploy_survives_as_it_was(acme: Caller) -> None:
    """Unicode, quotes and markup are data; NUL cannot be stored and is replaced."""
    text = "räumt auf; DROP TABLE x; <b>\u2028\U0001f600\0'\""
    response = await announce(acme, service="dienst/ä\U0001f600", deploy_id="d-1", description=text)
    assert response.status_code == 201
    (item,) = (await acme.get("/deploys", service="dienst/ä\U0001f600")).json()["items"]
    assert item["description"] == text.replace("\0", "\ufffd")


async def test_alerts_show_every_receiver_and_attempt(acme: Caller, other: Caller) -> None:
    """With what was said, latest first, apart by tenant."""
    for number in range(3):
        alert = examples.ALERT.alert.model_copy(
            update={"tenant": acme.tenant, "alert_id": f"a-{number}", "at_ns": number, "incident_id": f"inc-{number}"}
        )
        await outbox.enqueue(acme.stores.postgres, alert, ["topic", "webhook"], wall_ns=number)
    claims = [c for c in await outbox.claim(acme.stores.postgres, 10, limit=500) if c.tenant == acme.tenant]
    for claim in claims:
        await outbox.mark_failed(acme.stores.postgres, claim, 20, "refused", status_code=503)
    page = (await acme.get("/alerts", limit=2)).json()
    rest = (await acme.get("/alerts", limit=2, cursor=page["next_cursor"])).json()
    assert [item["alert"]["alert_id"] for item in page["items"] + rest["items"]] == ["a-2", "a-1", "a-0"]
    one = (await acme.get("/alerts/a-1")).json()
    assert [delivery["receiver"] for delivery in one["deliveries"]] == ["topic", "webhook"]
    assert one["deliveries"][1]["status"] == "pending"
    assert one["deliveries"][1]["log"][0]["status_code"] == 503
    assert [i["alert"]["alert_id"] for i in (await acme.get("/alerts", incident_id="inc-0")).json()["items"]] == ["a-0"]
    assert (await other.get("/alerts/a-1")).status_code == 404
    assert (await other.get("/alerts")).json()["items"] == []
