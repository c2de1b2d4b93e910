"""Checkpoints in PostgreSQL do what the table in memory does, which the state machine of the protocol is run on."""

from __future__ import annotations

import asyncio
import random

from checkpoint_table import AwaitedCheckpoints

from schemas.checkpoints import Checkpoint, OffsetRange, PendingInsert
from sinks.postgres.checkpoints import Checkpoints
from sinks.postgres.pool import Pool

TOPIC = "otel.logs"


async def test_any_sequence_of_calls_gives_what_the_table_in_memory_gives(pool: Pool) -> None:
    """300 random calls of three owners, one of them always stale: every answer is the same."""
    chance = random.Random(7)
    real, model = Checkpoints(pool, "group"), AwaitedCheckpoints()
    known: list[dict[int, int]] = []
    for number in range(300):
        call = chance.choice(["claim", "begin", "begin", "finish", "finish"]) if len(known) > 2 else "claim"
        partitions = sorted(chance.sample(range(4), chance.randint(1, 4)))
        if call == "claim":
            claimed = await real.claim(TOPIC, partitions)
            assert sorted(claimed, key=lambda each: each.partition) == await model.claim(TOPIC, partitions)
            last = known[-1] if known else dict.fromkeys(range(4), 0)
            known.append(last | {each.partition: each.epoch for each in claimed})
            continue
        epochs = chance.choice(known[-3:])
        epochs = {partition: epoch for partition, epoch in epochs.items() if epoch}
        ranges = tuple(OffsetRange(each, number * 10, number * 10 + 5) for each in partitions if each in epochs)
        if not ranges:
            continue
        if call == "begin":
            released = [each for each in epochs if each not in partitions][:1]
            insert = PendingInsert(TOPIC, ranges, number)
            assert await real.begin(insert, epochs, released) == await model.begin(insert, epochs, released)
        else:
            await real.finish(TOPIC, ranges, epochs)
            await model.finish(TOPIC, ranges, epochs)
    assert await real.claim(TOPIC, range(4)) == await model.claim(TOPIC, range(4))


async def test_claims_at_the_same_time_give_every_owner_an_epoch_of_its_own(pool: Pool) -> None:
    """Whoever has the largest is the owner; nobody waits for ever for anybody."""
    checkpoints = Checkpoints(pool, "group")
    claims = await asyncio.gather(*(checkpoints.claim(TOPIC, range(8)) for _ in range(8)))
    for partition in range(8):
        assert sorted(each.epoch for claimed in claims for each in claimed if each.partition == partition) == list(
            range(1, 9)
        )


async def test_insert_is_noted_for_all_of_its_partitions_or_for_none(pool: Pool) -> None:
    """One stale epoch among three."""
    checkpoints = Checkpoints(pool, "group")
    epochs = {each.partition: each.epoch for each in await checkpoints.claim(TOPIC, range(3))}
    await checkpoints.claim(TOPIC, [1])
    insert = PendingInsert(TOPIC, tuple(OffsetRange(each, 0, 9) for each in range(3)), 1)
    assert not await checkpoints.begin(insert, epochs)
    assert [each.pending for each in await checkpoints.claim(TOPIC, range(3))] == [None] * 3


async def test_groups_and_topics_are_apart(pool: Pool) -> None:
    """What one consumer group has stored says nothing about another's stores."""
    one, other = Checkpoints(pool, "one"), Checkpoints(pool, "other")
    epochs = {each.partition: each.epoch for each in await one.claim(TOPIC, [0])}
    await one.finish(TOPIC, [OffsetRange(0, 0, 9)], epochs)
    assert await other.claim(TOPIC, [0]) == [Checkpoint(0, 1)]
    assert await one.claim("otel.traces", [0]) == [Checkpoint(0, 1)]


async def test_checkpoint_can_be_set_back_by_its_owner_alone(pool: Pool) -> None:
    """When the log begins anew, what is durable speaks of another log."""
    checkpoints = Checkpoints(pool, "group")
    [stale] = await checkpoints.claim(TOPIC, [0])
    await checkpoints.finish(TOPIC, [OffsetRange(0, 0, 99)], {0: stale.epoch})
    [owned] = await checkpoints.claim(TOPIC, [0])
    await checkpoints.rewind(TOPIC, stale, -1)
    assert [each.durable_offset for each in await checkpoints.claim(TOPIC, [0])] == [99]
    [owned] = await checkpoints.claim(TOPIC, [0])
    await checkpoints.rewind(TOPIC, owned, -1)
    assert [each.durable_offset for each in await checkpoints.claim(TOPIC, [0])] == [-1]
