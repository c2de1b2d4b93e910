"""Checkpoints of the raw sink: per source partition its owner's epoch, what is durable and what is pending.

::

    claim ──▶ epoch + 1 ──▶ begin ──▶ finish ──▶ begin ──▶ …
    (another worker claims: our epoch is stale, begin says so and finish touches nothing)

Every call is one statement for all partitions of a topic, and may be repeated after `StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.checkpoints import Checkpoint, OffsetRange, PendingInsert
from sinks.postgres.pool import Pool, translated

_CLAIM = """
INSERT INTO checkpoints (consumer_group, topic, kafka_partition, owner_epoch)
SELECT $1, $2, number, 1 FROM unnest($3::int[]) AS number ORDER BY number
ON CONFLICT (consumer_group, topic, kafka_partition)
    DO UPDATE SET owner_epoch = checkpoints.owner_epoch + 1, updated_at = now()
RETURNING kafka_partition, owner_epoch, durable_offset, pending_token
"""

_BEGIN = """
UPDATE checkpoints c
SET pending_first = a.first, pending_last = a.last, pending_token = a.token, updated_at = now()
FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[]) AS a (number, epoch, first, last, token)
WHERE c.consumer_group = $1 AND c.topic = $2 AND c.kafka_partition = a.number AND c.owner_epoch = a.epoch
"""

_FINISH = """
UPDATE checkpoints c
SET durable_offset = greatest(c.durable_offset, a.last),
    pending_first = NULL, pending_last = NULL, pending_token = NULL, updated_at = now()
FROM unnest($3::int[], $4::bigint[], $5::bigint[]) AS a (number, epoch, last)
WHERE c.consumer_group = $1 AND c.topic = $2 AND c.kafka_partition = a.number AND c.owner_epoch = a.epoch
"""

_REWIND = """
UPDATE checkpoints SET durable_offset = $5, pending_first = NULL, pending_last = NULL, pending_token = NULL
WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3 AND owner_epoch = $4
"""


class _StaleEpochError(Exception):
    """Rolls a transaction back."""


class Checkpoints:
    """The checkpoints of one consumer group. All methods raise `StoreUnavailable` and `StoreRejected`."""

    def __init__(self, pool: Pool, consumer_group: str) -> None:
        self._pool = pool
        self._group = consumer_group

    async def claim(self, topic: str, partitions: Iterable[int]) -> list[Checkpoint]:
        """Become the owner of partitions: a new epoch each, which makes every earlier one stale."""
        with translated("claiming checkpoints"):
            rows = await self._pool.fetch(_CLAIM, self._group, topic, sorted(partitions))
        return [
            Checkpoint(number, epoch, durable, PendingInsert.parse(token) if token else None)
            for number, epoch, durable, token in rows
        ]

    async def begin(self, insert: PendingInsert, epochs: Mapping[int, int], released: Sequence[int] = ()) -> bool:
        """Note an insert as pending for its partitions, and nothing as pending for those ``released``.

        Returns False, and has changed nothing, when another owner has claimed any of them.
        """
        marks: list[tuple[int, int, int | None, int | None, str | None]] = [
            (each.partition, epochs[each.partition], each.first, each.last, insert.token) for each in insert.ranges
        ]
        marks += [(partition, epochs[partition], None, None, None) for partition in released]
        with translated("noting a pending insert"):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    done = await connection.execute(_BEGIN, self._group, insert.topic, *_columns(marks))
                    if done != f"UPDATE {len(marks)}":
                        raise _StaleEpochError
            except _StaleEpochError:
                return False
        return True

    async def finish(self, topic: str, ranges: Sequence[OffsetRange], epochs: Mapping[int, int]) -> None:
        """Note ranges (at least one) as durable and nothing as pending, where the epoch is not stale."""
        marks = [(each.partition, epochs[each.partition], each.last) for each in ranges]
        with translated("noting a durable insert"):
            await self._pool.execute(_FINISH, self._group, topic, *_columns(marks))

    async def rewind(self, topic: str, owned: Checkpoint, durable_offset: int) -> None:
        """Set a checkpoint back, when what it speaks of is not in the log any more."""
        with translated("setting a checkpoint back"):
            await self._pool.execute(_REWIND, self._group, topic, owned.partition, owned.epoch, durable_offset)


def _columns(marks: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*marks, strict=True)]
