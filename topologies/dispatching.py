"""Sending what the outbox holds.

::

    PostgreSQL outbox ─▶ claim (leased) ─┬─ receiver "topic" ───▶ topic alerts
                                         └─ receiver "webhook" ─▶ signed POST
                          delivered / failed, planned again / dead ◀─┘   each attempt in the delivery log

Every worker dispatches; the claim's row locks keep them apart. An alert without any receiver for people has
its trace since it was stored.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import structlog

from schemas.errors import BadPayload, StoreError
from schemas.incidents import Alert
from schemas.keys import tenant_key
from schemas.settings import Settings
from schemas.topics import ALERTS
from sinks.kafka.producer import Producer
from sinks.postgres.outbox import TOPIC_RECEIVER, Claim, claim, mark_delivered, mark_failed
from sinks.postgres.pool import Pool
from sinks.webhook import Outcome, Verdict, Webhook
from topologies import metrics

log = structlog.get_logger()

POLL_S = 1.0
AWAY_PAUSE_S = 5.0

WEBHOOK_RECEIVER = "webhook"


def receivers(settings: Settings) -> list[str]:
    """Name the receivers of the default route: the topic always, the webhook when it has an address."""
    return [TOPIC_RECEIVER, WEBHOOK_RECEIVER] if settings.alert_webhook_url else [TOPIC_RECEIVER]


class Dispatcher:
    """Works the outbox off until cancelled."""

    def __init__(self, pool: Pool, producer: Producer, webhook: Webhook | None) -> None:
        self._pool = pool
        self._producer = producer
        self._webhook = webhook

    async def run(self) -> None:
        """Claim and deliver for ever; a store that is away is waited for."""
        while True:
            try:
                busy = await self.dispatch()
            except StoreError as error:
                metrics.STORE_RETRIES.labels("postgres").inc()
                log.warning("outbox_not_reached", error=str(error))
                await asyncio.sleep(AWAY_PAUSE_S)
                continue
            if not busy:
                await asyncio.sleep(POLL_S)

    async def dispatch(self) -> int:
        """Deliver what is due now and return how many deliveries were tried. Raises `StoreError`."""
        claims = await claim(self._pool, time.time_ns())
        await asyncio.gather(*(self._deliver(claimed) for claimed in claims))
        return len(claims)

    async def _deliver(self, claimed: Claim) -> None:
        try:
            outcome = await self._attempt(claimed)
        except Exception as error:  # a bug of ours: this alert is tried again and in the end dead, with its trace
            log.exception("alert_attempt_failed", delivery=claimed.name, attempt=claimed.attempt)
            outcome = Outcome(Verdict.RETRY_LATER, f"bug: {type(error).__name__}")
        wall_ns = time.time_ns()
        if outcome.verdict is Verdict.DELIVERED:
            await mark_delivered(self._pool, claimed, wall_ns, status_code=outcome.status_code)
            status = "delivered"
        else:
            status = await mark_failed(
                self._pool,
                claimed,
                wall_ns,
                outcome.detail,
                status_code=outcome.status_code,
                final=outcome.verdict is Verdict.NEVER,
                retry_after_s=outcome.retry_after_s,
            )
        metrics.DELIVERIES.labels(claimed.alert.route if claimed.alert else "", outcome.verdict).inc()
        log.info("alert_attempted", delivery=claimed.name, attempt=claimed.attempt, status=status, why=outcome.detail)

    async def _attempt(self, claimed: Claim) -> Outcome:
        if claimed.alert is None:
            return Outcome(Verdict.RETRY_LATER, "this version of the worker cannot read the stored alert")
        if claimed.receiver == TOPIC_RECEIVER:
            return await self._publish(claimed.alert)
        if claimed.receiver == WEBHOOK_RECEIVER and self._webhook is not None:
            return await self._webhook.deliver(claimed.alert, claimed.attempt, wall_s=time.time())
        return Outcome(Verdict.RETRY_LATER, f"receiver {claimed.receiver} is not configured in this worker")

    async def _publish(self, alert: Alert) -> Outcome:
        try:
            await self._producer.send(ALERTS.name, alert.model_dump_json().encode(), tenant_key(alert.tenant))
        except BadPayload as error:
            return Outcome(Verdict.NEVER, error.detail)
        except StoreError as error:
            return Outcome(Verdict.RETRY_LATER, str(error)[:300])
        return Outcome(Verdict.DELIVERED)


async def dispatch_forever(settings: Settings, pool: Pool, producer: Producer) -> None:
    """Run a dispatcher with the settings' webhook until cancelled. Raises `SetupError` for a senseless webhook."""
    async with AsyncExitStack() as closing:
        webhook = Webhook.from_settings(settings)
        if webhook is not None:
            await closing.enter_async_context(webhook)
        await Dispatcher(pool, producer, webhook).run()
