"""Sending a letter again of which only a prefix was kept: the record itself is read, and must be the tenant's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from schemas.dead_letters import DeadLetter
from schemas.errors import Conflict
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.kafka import ensure_topics
from sinks.postgres import migrate
from sinks.postgres.dead_letters import LetterState, StoredLetter
from sinks.replaying import Sender, replay_letter
from sinks.stores import Stores, open_stores


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """Give open stores with tables and topics."""
    await ensure_topics(settings)
    async with open_stores(settings) as opened:
        await migrate.migrate(opened.postgres)
        yield opened


def of_items(tenant: str, partition: int, offset: int) -> StoredLetter:
    """Return a letter about the first item of a record, too large to be kept whole."""
    letter = DeadLetter(
        topic=TRACES.name, partition=partition, offset=offset, item=0, items=[0], tenant=tenant, reason="bad_id",
        detail="no id", payload_sha256="", payload_bytes=100_000, payload_base64="", payload_truncated=True,
        decoder_version="otlp-1", first_seen_ns=time.time_ns(),
    )  # fmt: skip
    return StoredLetter(letter, LetterState.OPEN, None, None, None)


async def test_what_lies_where_the_original_was_is_sent_only_if_it_is_the_tenants(
    settings: Settings, stores: Stores
) -> None:
    """A topic that was made anew gave the offset to a record of somebody else."""
    sender = Sender(settings, stores.postgres, stores.producer)
    for headers, owner in (
        ([(TENANT_HEADER, b"other")], "other"),
        ([], settings.default_tenant),
        ([(TENANT_HEADER, b"no tenant")], settings.default_tenant),
    ):
        there = await stores.producer.send(TRACES.name, b"private", headers=headers, partition=0)
        with pytest.raises(Conflict, match="somebody else"):
            await replay_letter(sender, of_items("acme", there.partition, there.offset), 1)
        sent = await replay_letter(sender, of_items(owner, there.partition, there.offset), 1)
        assert sent.offset > there.offset
