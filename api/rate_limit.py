"""How many requests a tenant may send: a token bucket in Redis, shared by all API replicas."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from schemas.errors import StoreError
from sinks import redis

log = structlog.get_logger("api")

BURST_S = 10.0
"""The bucket holds as many requests as come in this time at the limit."""


class RedisRateLimit:
    """Lets everything pass while Redis is away: a limit protects, it must not become an outage of its own."""

    def __init__(self, client: Callable[[], redis.Client | None], per_s: float) -> None:
        self._client = client
        self._per_s = per_s

    async def wait_s(self, tenant: str) -> float:
        """Return 0 when the request may pass, else the seconds until it may."""
        client = self._client()
        if client is None:
            return 0.0
        capacity = max(1.0, self._per_s * BURST_S)
        try:
            answer = await redis.take(client, tenant, "api", capacity=capacity, per_s=self._per_s, wall_s=time.time())
        except StoreError as error:
            log.warning("rate_limit_away", error=str(error)[:200])
            return 0.0
        return 0.0 if answer.allowed else max(answer.retry_after_s, 0.001)
