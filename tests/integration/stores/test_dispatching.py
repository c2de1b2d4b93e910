"""Sending what the outbox holds, on a real PostgreSQL: no alert ends the sending of the others."""

from __future__ import annotations

import time
from typing import Any

from store_examples import alert

from schemas.incidents import Alert
from sinks.postgres import alerts, outbox
from sinks.postgres.pool import Pool
from sinks.webhook import Outcome, Verdict
from topologies.dispatching import WEBHOOK_RECEIVER, Dispatcher


class BrokenWebhook:
    """Raises what nobody has thought of for one alert, and takes the others."""

    async def deliver(self, alert: Alert, attempt: int, *, wall_s: float) -> Outcome:
        """Post."""
        if alert.alert_id == "odd":
            raise ValueError("a bug of ours")
        return Outcome(Verdict.DELIVERED, "HTTP 204", 204)


async def test_an_alert_that_cannot_be_sent_leaves_a_trace_and_ends_nothing(pool: Pool) -> None:
    """It would end the worker, and again at each start. It waits for its next attempt, and says why."""
    for name in ("odd", "plain"):
        await outbox.enqueue(pool, alert(name), [WEBHOOK_RECEIVER], time.time_ns())
    producer: Any = None
    webhook: Any = BrokenWebhook()
    assert await Dispatcher(pool, producer, webhook).dispatch() == 2
    [odd] = (await alerts.get(pool, "acme", "odd")).deliveries
    [plain] = (await alerts.get(pool, "acme", "plain")).deliveries
    assert (odd.status, plain.status) == ("pending", "delivered")
    assert [entry.detail for entry in odd.log] == ["bug: ValueError"]
