"""The outbox on a real PostgreSQL. The wall clock is handed in, so time is whatever a test says."""

from __future__ import annotations

import asyncio

import pytest
from store_examples import ONSET_NS, WALL_NS, alert

from schemas.errors import NotFound
from sinks.postgres import alerts, outbox
from sinks.postgres.outbox import NOBODY, TOPIC_RECEIVER, RetryPolicy
from sinks.postgres.pool import Pool

SECOND_NS = 1_000_000_000
BOTH = [TOPIC_RECEIVER, "webhook"]
THREE_TRIES = RetryPolicy(first_s=2.0, longest_s=60.0, attempts=3)


async def test_an_alert_is_stored_once(pool: Pool) -> None:
    """The same alert again makes no second delivery, whatever its receivers."""
    assert await outbox.enqueue(pool, alert(), BOTH, WALL_NS)
    assert not await outbox.enqueue(pool, alert(title="again"), [*BOTH, "another"], WALL_NS)
    stored = await alerts.get(pool, "acme", "alert-1")
    assert stored.alert == alert()
    assert [delivery.receiver for delivery in stored.deliveries] == BOTH


async def test_a_claimed_delivery_is_nobody_elses(pool: Pool) -> None:
    """Many claimers at once share the work without overlap."""
    for number in range(12):
        await outbox.enqueue(pool, alert(f"alert-{number}"), BOTH, WALL_NS)
    batches = await asyncio.gather(*(outbox.claim(pool, WALL_NS, limit=5) for _ in range(6)))
    claimed = [claim.name for batch in batches for claim in batch]
    assert len(claimed) == len(set(claimed)) == 24
    assert await outbox.claim(pool, WALL_NS) == []


async def test_a_claim_whose_process_died_comes_back(pool: Pool) -> None:
    """After the lease the delivery is due again as the next attempt, and the log shows the unfinished one."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    [first] = await outbox.claim(pool, WALL_NS, lease_s=60)
    assert await outbox.claim(pool, WALL_NS + 59 * SECOND_NS) == []
    [second] = await outbox.claim(pool, WALL_NS + 60 * SECOND_NS)
    assert (first.attempt, second.attempt) == (1, 2)
    await outbox.mark_delivered(pool, second, WALL_NS + 61 * SECOND_NS, status_code=204)
    [delivery] = (await alerts.get(pool, "acme", "alert-1")).deliveries
    assert [(entry.outcome, entry.status_code) for entry in delivery.log] == [("started", None), ("delivered", 204)]


async def test_a_delivered_alert_is_not_sent_again(pool: Pool) -> None:
    """Delivered is the end."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    [claim] = await outbox.claim(pool, WALL_NS)
    await outbox.mark_delivered(pool, claim, WALL_NS)
    assert await outbox.claim(pool, WALL_NS + 10**15) == []
    assert (await outbox.depth(pool))["delivered"] == 1


async def test_a_late_failure_does_not_undo_a_delivery(pool: Pool) -> None:
    """A slow loser of the lease only adds to the log; a slow winner still counts as delivered."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    [slow] = await outbox.claim(pool, WALL_NS, lease_s=1)
    [quick] = await outbox.claim(pool, WALL_NS + 2 * SECOND_NS)
    assert await outbox.mark_failed(pool, slow, WALL_NS + 3 * SECOND_NS, "no answer") == "pending"
    assert await outbox.claim(pool, WALL_NS + 30 * SECOND_NS) == [], "the quick one's lease still holds"
    await outbox.mark_delivered(pool, quick, WALL_NS + 31 * SECOND_NS)
    assert await outbox.mark_failed(pool, slow, WALL_NS + 32 * SECOND_NS, "no answer", final=True) == "delivered"
    assert await outbox.claim(pool, WALL_NS + 10**15) == []


async def test_one_receivers_failure_repeats_nothing_for_another(pool: Pool) -> None:
    """The topic has it; only the webhook is tried again."""
    await outbox.enqueue(pool, alert(), BOTH, WALL_NS)
    topic, webhook = await outbox.claim(pool, WALL_NS)
    await outbox.mark_delivered(pool, topic, WALL_NS)
    await outbox.mark_failed(pool, webhook, WALL_NS, "HTTP 503", status_code=503)
    assert [claim.receiver for claim in await outbox.claim(pool, WALL_NS + 10 * SECOND_NS)] == ["webhook"]


async def test_failures_wait_longer_each_time_and_end_in_a_visible_death(pool: Pool) -> None:
    """Exponential waits, then dead, with every attempt's reason still there."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    at_ns = WALL_NS
    waits_s = []
    for attempt in (1, 2, 3):
        [claim] = await outbox.claim(pool, at_ns, retries=THREE_TRIES)
        assert claim.attempt == attempt
        status = await outbox.mark_failed(pool, claim, at_ns, f"try {attempt}\x00", retries=THREE_TRIES)
        [delivery] = (await alerts.get(pool, "acme", "alert-1")).deliveries
        waits_s.append((delivery.next_attempt_ns - at_ns) / SECOND_NS)
        assert await outbox.claim(pool, delivery.next_attempt_ns - 1, retries=THREE_TRIES) == []
        at_ns = delivery.next_attempt_ns
    assert status == delivery.status == "dead"
    assert 1 <= waits_s[0] <= 2 <= waits_s[1] <= 4
    assert await outbox.claim(pool, at_ns + 10**15, retries=THREE_TRIES) == []
    assert [entry.detail for entry in delivery.log] == ["try 1\ufffd", "try 2\ufffd", "try 3\ufffd"]


async def test_a_refusal_is_final_at_once(pool: Pool) -> None:
    """What will never work is not tried again, and is not forgotten."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    [claim] = await outbox.claim(pool, WALL_NS)
    assert await outbox.mark_failed(pool, claim, WALL_NS, "HTTP 410", status_code=410, final=True) == "dead"
    [delivery] = (await alerts.get(pool, "acme", "alert-1")).deliveries
    assert (delivery.status, delivery.detail, delivery.log[0].outcome) == ("dead", "HTTP 410", "refused")


async def test_a_delivery_that_kills_its_process_each_time_dies_in_the_end(pool: Pool) -> None:
    """Claims count as attempts, so nothing is tried for ever."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    for minute in range(5):
        await outbox.claim(pool, WALL_NS + minute * 60 * SECOND_NS, lease_s=60, retries=THREE_TRIES)
    [delivery] = (await alerts.get(pool, "acme", "alert-1")).deliveries
    assert (delivery.status, delivery.attempts) == ("dead", 3)


async def test_the_receivers_wish_to_wait_is_heard_within_reason(pool: Pool) -> None:
    """Retry-After lengthens a wait, up to the longest one."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    [claim] = await outbox.claim(pool, WALL_NS, retries=THREE_TRIES)
    await outbox.mark_failed(pool, claim, WALL_NS, "HTTP 429", retry_after_s=30, retries=THREE_TRIES)
    [delivery] = (await alerts.get(pool, "acme", "alert-1")).deliveries
    assert delivery.next_attempt_ns == WALL_NS + 30 * SECOND_NS
    [claim] = await outbox.claim(pool, delivery.next_attempt_ns, retries=THREE_TRIES)
    await outbox.mark_failed(pool, claim, WALL_NS, "HTTP 429", retry_after_s=1e9, retries=THREE_TRIES)
    [delivery] = (await alerts.get(pool, "acme", "alert-1")).deliveries
    assert delivery.next_attempt_ns == WALL_NS + 60 * SECOND_NS


async def test_an_alert_that_this_version_cannot_read_holds_up_no_other_and_is_tried_again(pool: Pool) -> None:
    """Workers of two versions run side by side during an upgrade."""
    await outbox.enqueue(pool, alert("alert-1"), ["webhook"], WALL_NS)
    await outbox.enqueue(pool, alert("alert-2"), ["webhook"], WALL_NS)
    await pool.execute("""UPDATE alerts SET document = document || '{"of_tomorrow": 1}' WHERE alert_id = 'alert-1'""")
    strange, known = await outbox.claim(pool, WALL_NS)
    assert (strange.alert_id, strange.alert) == ("alert-1", None)
    assert known.alert == alert("alert-2")
    assert await outbox.mark_failed(pool, strange, WALL_NS, "cannot be read") == "pending"
    [again] = await outbox.claim(pool, WALL_NS + 10 * SECOND_NS)
    assert (again.alert_id, again.attempt) == ("alert-1", 2)


@pytest.mark.parametrize("receivers", [[], [TOPIC_RECEIVER]])
async def test_an_alert_for_nobody_says_so(pool: Pool, receivers: list[str]) -> None:
    """Without a receiver for people the alert leaves a trace, and nothing is tried."""
    await outbox.enqueue(pool, alert(), receivers, WALL_NS)
    found = {one.receiver: one.status for one in (await alerts.get(pool, "acme", "alert-1")).deliveries}
    assert found == {NOBODY: "no_receiver"} | dict.fromkeys(receivers, "pending")
    assert [claim.receiver for claim in await outbox.claim(pool, WALL_NS)] == receivers


async def test_another_tenant_finds_no_alert(pool: Pool) -> None:
    """Alerts and deliveries are the tenant's; the same id in two tenants is two alerts with two logs."""
    await outbox.enqueue(pool, alert(), ["webhook"], WALL_NS)
    with pytest.raises(NotFound):
        await alerts.get(pool, "other", "alert-1")
    assert await alerts.page(pool, "other") == []
    assert await outbox.enqueue(pool, alert(tenant="other"), ["mail"], WALL_NS)
    [claim] = [claim for claim in await outbox.claim(pool, WALL_NS) if claim.tenant == "other"]
    await outbox.mark_delivered(pool, claim, WALL_NS)
    [ours] = (await alerts.page(pool, "acme"))[0].deliveries
    assert (ours.receiver, ours.status, [entry.outcome for entry in ours.log]) == ("webhook", "pending", ["started"])


async def test_alert_pages_show_every_alert_once_with_its_deliveries(pool: Pool) -> None:
    """Latest first, ties by id; one incident's alerts alone on request."""
    for number in range(5):
        incident_id = "inc-b" if number == 3 else "inc-a"
        new = alert(f"alert-{number}", at_ns=ONSET_NS + number // 2, incident_id=incident_id)
        await outbox.enqueue(pool, new, BOTH, WALL_NS)
    first = await alerts.page(pool, "acme", limit=3)
    rest = await alerts.page(pool, "acme", after=first[-1].position, limit=3)
    assert [one.alert.alert_id for one in first + rest] == [f"alert-{number}" for number in (4, 3, 2, 1, 0)]
    assert all(len(one.deliveries) == 2 for one in first + rest)
    assert [one.alert.alert_id for one in await alerts.page(pool, "acme", incident_id="inc-b")] == ["alert-3"]
