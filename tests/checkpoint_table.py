"""A table of checkpoints in memory: what `sinks.postgres.checkpoints` promises, as plainly as can be.

The contract test holds it against PostgreSQL; the state machine and the stage tests use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from schemas.checkpoints import Checkpoint, OffsetRange, PendingInsert


@dataclass
class CheckpointTable:
    """Checkpoints by topic and partition."""

    kept: dict[tuple[str, int], Checkpoint] = field(default_factory=dict)

    def claim(self, topic: str, partitions: Iterable[int]) -> list[Checkpoint]:
        """Give each partition a new epoch."""
        claimed = []
        for partition in sorted(partitions):
            known = self.kept.get((topic, partition), Checkpoint(partition, 0))
            self.kept[topic, partition] = replace(known, epoch=known.epoch + 1)
            claimed.append(self.kept[topic, partition])
        return claimed

    def begin(self, insert: PendingInsert, epochs: Mapping[int, int], released: Sequence[int] = ()) -> bool:
        """Note what is pending, unless an epoch is stale."""
        partitions = [each.partition for each in insert.ranges]
        if any(self.kept[insert.topic, each].epoch != epochs[each] for each in (*partitions, *released)):
            return False
        for partition in (*partitions, *released):
            pending = insert if partition in partitions else None
            self.kept[insert.topic, partition] = replace(self.kept[insert.topic, partition], pending=pending)
        return True

    def finish(self, topic: str, ranges: Sequence[OffsetRange], epochs: Mapping[int, int]) -> None:
        """Note what is durable, where the epoch is not stale."""
        for each in ranges:
            known = self.kept[topic, each.partition]
            if known.epoch == epochs[each.partition]:
                durable = max(known.durable_offset, each.last)
                self.kept[topic, each.partition] = replace(known, durable_offset=durable, pending=None)


@dataclass
class AwaitedCheckpoints:
    """The same table behind the methods of `sinks.postgres.checkpoints.Checkpoints`."""

    table: CheckpointTable = field(default_factory=CheckpointTable)

    async def claim(self, topic: str, partitions: Iterable[int]) -> list[Checkpoint]:
        """Give each partition a new epoch."""
        return self.table.claim(topic, partitions)

    async def begin(self, insert: PendingInsert, epochs: Mapping[int, int], released: Sequence[int] = ()) -> bool:
        """Note what is pending, unless an epoch is stale."""
        return self.table.begin(insert, epochs, released)

    async def finish(self, topic: str, ranges: Sequence[OffsetRange], epochs: Mapping[int, int]) -> None:
        """Note what is durable, where the epoch is not stale."""
        self.table.finish(topic, ranges, epochs)

    async def rewind(self, topic: str, owned: Checkpoint, durable_offset: int) -> None:
        """Set a checkpoint back."""
        known = self.table.kept[topic, owned.partition]
        if known.epoch == owned.epoch:
            self.table.kept[topic, owned.partition] = replace(known, durable_offset=durable_offset, pending=None)
