"""A Redis that is slow holds the pipeline up once a publication, not once a service."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from fault_proxy import FaultProxy, Mode
from made_health import health
from pydantic import SecretStr

from schemas.settings import Settings
from sinks import redis

SERVICES = 300
DELAY_S = 0.1


async def test_the_pictures_of_many_services_wait_for_a_slow_redis_a_few_times(settings: Settings) -> None:
    """One by one they would take half a minute."""
    address = urlsplit(settings.redis_url.get_secret_value())
    assert address.port
    async with FaultProxy(address.port) as proxy:
        url = address.geturl().replace(f":{address.port}", f":{proxy.port}")
        client = redis.open_redis(settings.model_copy(update={"redis_url": SecretStr(url)}))
        await proxy.set(Mode.DELAY, delay_s=DELAY_S)
        began_s = time.monotonic()
        assert all(await redis.set_healths(client, [health(f"service-{number}", 0) for number in range(SERVICES)]))
        assert time.monotonic() - began_s < SERVICES * DELAY_S / 2
        await proxy.set(Mode.PASS)
        assert len(await redis.picture(client, health("any", 0).tenant)) == SERVICES
        await client.aclose()
