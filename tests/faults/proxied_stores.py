"""A worker's stores, each behind a proxy of its own; and what a request of each looks like on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from fault_proxy import FaultProxy
from pydantic import SecretStr

from schemas.settings import Settings

STORES = ("postgres", "clickhouse", "redis", "kafka")
CLICKHOUSE_PATIENCE_S = 8
"""After how long without an answer the worker's ClickHouse client gives a statement up; usually 60."""
SLOW_BYTES_PER_S = {"clickhouse": 200_000.0, "postgres": 20_000.0, "redis": 50_000.0, "kafka": 300_000.0}


@dataclass(frozen=True)
class Proxied:
    """Settings whose stores are behind proxies, the proxies by store, and the settings without them."""

    settings: Settings
    direct: Settings
    proxies: dict[str, FaultProxy]


@asynccontextmanager
async def behind_proxies(one_broker: Settings) -> AsyncIterator[Proxied]:
    """Put a proxy before each store."""
    dsn = {
        "clickhouse": f"{one_broker.clickhouse_dsn.get_secret_value()}&send_receive_timeout={CLICKHOUSE_PATIENCE_S}",
        "postgres": one_broker.postgres_dsn.get_secret_value(),
        "redis": one_broker.redis_url.get_secret_value(),
        "kafka": f"kafka://{one_broker.kafka_brokers}",
    }
    ports = {store: port for store in STORES if (port := urlsplit(dsn[store]).port)}
    async with AsyncExitStack() as closing:
        proxies = {
            store: await closing.enter_async_context(FaultProxy(port, kafka=store == "kafka"))
            for store, port in ports.items()
        }
        through = {
            store: text.replace(f"127.0.0.1:{ports[store]}", f"127.0.0.1:{proxies[store].port}")
            for store, text in dsn.items()
        }
        changes = {
            "clickhouse_dsn": SecretStr(through["clickhouse"]),
            "postgres_dsn": SecretStr(through["postgres"]),
            "redis_url": SecretStr(through["redis"]),
            "kafka_brokers": f"127.0.0.1:{proxies['kafka'].port}",
        }
        yield Proxied(one_broker.model_copy(update=changes), one_broker, proxies)


def is_request(store: str) -> Callable[[bytes], bool]:
    """Tell what to cut after: an insert, a statement, a command, a Kafka produce request (API key 0)."""
    return {
        "clickhouse": lambda request: b"INSERT INTO" in request,
        "kafka": lambda request: request[4:6] == b"\0\0",
    }.get(store, lambda _: True)
