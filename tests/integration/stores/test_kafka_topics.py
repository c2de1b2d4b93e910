"""Topics on real brokers: the embedded one, and Apache Kafka where there is one."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.errors import SetupError, StoreUnavailable
from schemas.settings import Settings
from schemas.topics import ALL_TOPICS, HEALTH, TABLES, TRACES, TopicSpec
from sinks.kafka import ensure_topics, inspect_topics

NAMES = [topic.name for topic in ALL_TOPICS]


async def made(settings: Settings, topic: TopicSpec, partitions: int, **configs: str) -> None:
    """Create a topic as somebody else would have."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    await admin.create_topics([NewTopic(topic.name, partitions, 1, topic_configs=configs)])
    await admin.close()


async def test_missing_topics_are_created_once(broker: Settings) -> None:
    """The first call creates all, the second none, and both give the same partitions."""
    assert {state.partitions for state in await inspect_topics(broker)} == {0}
    first = await ensure_topics(broker)
    assert [(state.name, state.partitions, state.created) for state in first] == [(name, 4, True) for name in NAMES]
    second = await ensure_topics(broker)
    assert [(state.name, state.partitions, state.created) for state in second] == [(name, 4, False) for name in NAMES]


async def test_topics_are_created_as_they_are_declared(broker: Settings) -> None:
    """Retention, size limit and cleanup reach the broker."""
    await ensure_topics(broker)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.kafka_brokers)
    await admin.start()
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in NAMES])
    await admin.close()
    found = {
        resource["resource_name"]: {
            entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
        }
        for answer in answers
        for resource in answer.to_object()["resources"]
    }
    for topic in ALL_TOPICS:
        assert found[topic.name]["retention.ms"] == str(topic.retention_ms)
        assert found[topic.name]["max.message.bytes"] == str(topic.max_message_bytes)
        assert found[topic.name]["cleanup.policy"] == ("compact" if topic in TABLES else "delete")


async def test_several_workers_may_create_them_at_once(broker: Settings) -> None:
    """Whoever is second finds them there."""
    outcomes = await asyncio.gather(*(ensure_topics(broker) for _ in range(3)))
    assert all({state.partitions for state in states} == {4} for states in outcomes)
    makers = [sum(states[at].created for states in outcomes) for at in range(len(NAMES))]
    assert makers == [1] * len(NAMES), "and says that it was not the one"


async def test_looking_creates_nothing(broker: Settings) -> None:
    """Also on a broker that creates topics when asked for them by name."""
    await inspect_topics(broker)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.kafka_brokers)
    await admin.start()
    assert not set(await admin.list_topics()) & set(NAMES)
    await admin.close()


@pytest.mark.parametrize(
    ("topic", "partitions", "configs", "words"),
    [
        (HEALTH, 3, {}, "INCIDENTSCOPE_PARTITIONS=3"),
        (TRACES, 4, {"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        (TABLES[0], 4, {"cleanup.policy": "delete"}, "cleanup.policy=compact"),
        (TRACES, 4, {"max.message.bytes": "1000000"}, "max.message.bytes=4194304"),
    ],
)
async def test_a_topic_that_would_harm_is_refused_with_the_remedy(
    broker: Settings, topic: TopicSpec, partitions: int, configs: dict[str, str], words: str
) -> None:
    """Another partition count, another cleanup, a smaller limit: the start ends and says what to do."""
    await made(broker, topic, partitions, **configs)
    with pytest.raises(SetupError, match=topic.name) as refusal:
        await ensure_topics(broker)
    assert words in refusal.value.remedy


async def test_another_retention_is_the_operators_choice(broker: Settings) -> None:
    """It is accepted and left as it is."""
    await made(broker, TRACES, 4, **{"max.message.bytes": "8388608", "retention.ms": "3600000"})
    assert not (await ensure_topics(broker))[0].created


@pytest.mark.kafka
async def test_what_the_broker_refuses_says_what_to_do(own_kafka: Settings) -> None:
    """More replicas than brokers is a thing to set, not a stack trace."""
    with pytest.raises(SetupError, match="INCIDENTSCOPE_KAFKA_REPLICATION"):
        await ensure_topics(own_kafka.model_copy(update={"kafka_replication": 3}))


async def test_no_broker_is_for_later() -> None:
    """A broker that is away is told from a setting that is wrong."""
    with pytest.raises(StoreUnavailable):
        await ensure_topics(Settings(kafka_brokers="127.0.0.1:1", _env_file=None))
