"""The embedded stack: real servers, on one folder, that end with us."""

from __future__ import annotations

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from schemas.settings import Settings


async def test_postgres_has_our_database_and_pgvector(settings: Settings) -> None:
    """The embedded PostgreSQL is empty, ours, and can search vectors."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    await connection.execute("CREATE EXTENSION vector")
    assert await connection.fetchval("SELECT '[1,2,3]'::vector <-> '[1,2,4]'::vector") == 1.0
    await connection.close()


async def test_valkey_asks_for_its_password(settings: Settings) -> None:
    """The embedded Valkey answers to our URL."""
    async with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert await client.set("a", "1")


async def test_the_broker_takes_records(broker: Settings) -> None:
    """A broker fixture starts empty, takes a topic and a record."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.kafka_brokers)
    await admin.start()
    assert await admin.list_topics() == []
    await admin.create_topics([NewTopic("greetings", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker.kafka_brokers) as producer:
        sent = await producer.send_and_wait("greetings", b"hello", headers=[("x-tenant-id", b"a")])
    assert sent.offset == 0
