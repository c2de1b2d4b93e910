"""The topics of `schemas.topics` on a broker: looked at, created when missing, refused when they would harm.

Creation is ours because broker auto-creation gives partition counts that break the tables' co-partitioning.
A different retention is the operator's choice and is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import SetupError, StoreUnavailable
from schemas.settings import Settings
from schemas.topics import ALL_TOPICS, TopicSpec
from sinks.kafka.connection import client_settings, store_error

_VISIBLE_TRIES = 50
_VISIBLE_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class TopicState:
    """What the broker has of one topic of ours. ``partitions`` is 0 when the topic is missing."""

    name: str
    partitions: int
    problem: str = ""
    remedy: str = ""
    created: bool = False


async def inspect_topics(settings: Settings, topics: Sequence[TopicSpec] = ALL_TOPICS) -> list[TopicState]:
    """Compare ``topics`` with the broker's, changing nothing. Raises `StoreUnavailable` when no broker answers."""
    async with _admin(settings) as admin:
        return await _states(admin, settings, topics)


async def ensure_topics(settings: Settings, topics: Sequence[TopicSpec] = ALL_TOPICS) -> list[TopicState]:
    """Create what is missing and return all topics' states once every partition can be written.

    Safe to run from several processes at once. Raises `SetupError` when an existing topic differs in a way
    that would give wrong results (partition count, compaction) or refuse valid records (size limit).
    """
    async with _admin(settings) as admin:
        found = await _states(admin, settings, topics)
        missing = {state.name for state in found if not state.partitions}
        created: set[str] = set()
        if missing:
            created = await _create(admin, settings, [topic for topic in topics if topic.name in missing])
            found = await _when_visible(admin, settings, topics)
    for state in found:
        if state.problem:
            raise SetupError(f"Kafka topic {state.name}: {state.problem}", state.remedy)
    return [TopicState(state.name, state.partitions, created=state.name in created) for state in found]


async def partitions_of(settings: Settings, topics: Iterable[str]) -> dict[str, list[int]]:
    """Return the partitions of each of the topics, ascending; none of a topic that is not there.

    (A consumer knows partitions of the topics it has subscribed to, and of no others for sure.)
    Raises `StoreUnavailable`.
    """
    async with _admin(settings) as admin:
        there = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    return {name: sorted(each["partition"] for each in there.get(name, ())) for name in topics}


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_settings(settings))
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise store_error(error, "looking at topics") from error
    finally:
        await admin.close()


async def _states(admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[TopicSpec]) -> list[TopicState]:
    # All topics are listed: asking for one by name creates it on brokers that auto-create (the embedded one does).
    counts = {topic["topic"]: _writable_partitions(topic) for topic in await admin.describe_topics()}
    present = [topic for topic in topics if counts.get(topic.name)]
    configs = await _configs(admin, [topic.name for topic in present])
    return [_state(topic, counts.get(topic.name, 0), settings, configs.get(topic.name, {})) for topic in topics]


def _writable_partitions(topic: dict[str, Any]) -> int:
    """Count partitions; 0 while any of them has no leader yet."""
    partitions = topic["partitions"]
    return 0 if any(partition["leader"] < 0 for partition in partitions) else len(partitions)


def _state(topic: TopicSpec, partitions: int, settings: Settings, config: dict[str, str]) -> TopicState:
    if not partitions:
        return TopicState(topic.name, 0, "missing", "run: incidentscope topics")
    if partitions != settings.partitions:
        problem = f"has {partitions} partitions, INCIDENTSCOPE_PARTITIONS is {settings.partitions}"
        remedy = f"set INCIDENTSCOPE_PARTITIONS={partitions} (every topic must have the same number), or recreate it"
        return TopicState(topic.name, partitions, problem, remedy)
    policy = config.get("cleanup.policy", _policy(topic))
    if "compact" in policy and not topic.compacted:
        remedy = _alter_command(settings, topic.name, "cleanup.policy=delete")
        return TopicState(topic.name, partitions, "is compacted: records would vanish from under the worker", remedy)
    if "delete" in policy and topic.compacted:
        remedy = _alter_command(settings, topic.name, "cleanup.policy=compact")
        return TopicState(topic.name, partitions, "is not compacted: the state of quiet keys would expire", remedy)
    limit_bytes = int(config.get("max.message.bytes", topic.max_message_bytes))
    if limit_bytes < topic.max_message_bytes:
        problem = f"takes messages of {limit_bytes} bytes, {topic.max_message_bytes} are needed"
        remedy = _alter_command(settings, topic.name, f"max.message.bytes={topic.max_message_bytes}")
        return TopicState(topic.name, partitions, problem, remedy)
    return TopicState(topic.name, partitions)


def _alter_command(settings: Settings, topic: str, config: str) -> str:
    return (
        f"run: kafka-configs.sh --bootstrap-server {settings.kafka_brokers}"
        f" --alter --topic {topic} --add-config {config}"
    )


async def _configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Read topic configurations; a broker that does not let us see one is not asked twice."""
    found: dict[str, dict[str, str]] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for answer in await admin.describe_configs(resources) if resources else []:
        for resource in answer.to_object()["resources"]:
            entries = resource["config_entries"] if resource["error_code"] == 0 else []
            found[resource["resource_name"]] = {
                entry["config_names"]: entry["config_value"] for entry in entries if entry["config_value"]
            }
    return found


async def _create(admin: AIOKafkaAdminClient, settings: Settings, missing: Iterable[TopicSpec]) -> set[str]:
    """Ask for the topics and return which of them are our doing: another worker may have been faster."""
    created: set[str] = set()
    answer = await admin.create_topics([_new_topic(topic, settings) for topic in missing])
    for name, code, message in (error[:3] for error in answer.topic_errors):
        error = for_code(code)
        if not code:
            created.add(name)
        elif error is not TopicAlreadyExistsError:
            raise SetupError(
                f"Kafka topic {name} cannot be created: {message or error.__name__}",
                "allow this user to create topics, set INCIDENTSCOPE_KAFKA_REPLICATION to at most the number of"
                " brokers, or create it by hand",
            )
    return created


def _policy(topic: TopicSpec) -> str:
    return "compact" if topic.compacted else "delete"


def _new_topic(topic: TopicSpec, settings: Settings) -> NewTopic:
    configs = {
        "cleanup.policy": _policy(topic),
        "retention.ms": str(topic.retention_ms),
        "max.message.bytes": str(topic.max_message_bytes),
    }
    return NewTopic(topic.name, settings.partitions, settings.kafka_replication, topic_configs=configs)


async def _when_visible(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[TopicSpec]
) -> list[TopicState]:
    """Wait until every partition of every topic has a leader: creation is asynchronous on a real cluster."""
    for _ in range(_VISIBLE_TRIES):
        found = await _states(admin, settings, topics)
        if all(state.partitions for state in found):
            return found
        await asyncio.sleep(_VISIBLE_PAUSE_S)
    slow = [state.name for state in found if not state.partitions]
    raise StoreUnavailable(f"Kafka created {', '.join(slow)}, but no broker leads all partitions yet")
