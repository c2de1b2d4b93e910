"""The consumer group as the broker sees it, and how to tell it that a member is dead."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from schemas.settings import Settings


async def evict_all(settings: Settings) -> int:
    """Let every member leave the group, as its own closing would; return how many there were.

    A broker learns of a killed member by the session time-out alone, and makes the next one wait for it.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        members = await _members(admin, settings.consumer_group)
        coordinator = await admin.find_coordinator(settings.consumer_group)
        for member in members:
            await admin._send_request(LeaveGroupRequest(settings.consumer_group, member), coordinator)
        return len(members)
    finally:
        await admin.close()


async def _members(admin: AIOKafkaAdminClient, group: str) -> list[str]:
    answers = await admin.describe_consumer_groups([group])
    return [member[0] for answer in answers for described in answer.groups for member in described[-2]]
