"""The protocol of the raw sink, without its hands: which step comes after which answer.

::

    rows ──▶ skip what is durable ──▶ Begin ──▶ Store ──▶ Finish                     an insert goes well
                                        ▲         ├─ repeated ──▶ Check …            as below
                                        │         └─ refused ─┬─ halves ─▶ Begin …   nothing of it is stored
                                        │                     └─ one row ─▶ Divert ─▶ Finish
    new owner ──▶ what is pending ──▶ Reread ──▶ Store ──▶ Check ──▶ Finish
                                                  │          └─ taken back ─▶ own rows ─▶ Begin (another token) …
                                                  └─ refused ─▶ own rows ─▶ Begin …

`Ownership` makes generators of steps: the caller performs each and sends the answer back. So all stores, and every
crash between two steps, belong to the caller; a test can try them all.

Why nothing is stored twice: rows go to ClickHouse only in an insert that was noted as pending before (`Begin`, which
fails when any of its partitions has another owner by now), and no partition goes on to another insert until that one
is known to be stored (`Finish`) or refused whole. Whoever takes a partition over repeats the pending insert with the
same rows under the same token first: ClickHouse recognises it if it had been stored, target by target.

Why nothing is lost: `Finish` follows a confirmed `Store` or `Divert`, and only rows at or below it are skipped. A
repeated `Store` confirms nothing by itself. ClickHouse notes a token before the rows show: if it dies in between, the
token is known, the rows are not there, and every repetition is dropped as a duplicate. So `Check` counts them. What is
not whole is taken back, and since its token is known in every target by then, nobody can store it under that any more.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from schemas.checkpoints import Checkpoint, OffsetRange, PendingInsert


class OwnerChangedError(Exception):
    """A partition has another owner now: nothing more may be stored for it here."""


class Placed(Protocol):
    """A row that knows where in Kafka it came from."""

    @property
    def partition(self) -> int:
        """Kafka partition."""

    @property
    def offset(self) -> int:
        """Kafka offset."""


R = TypeVar("R", bound=Placed)


class Answer(Enum):
    """What became of a `Store`."""

    STORED = "at the first attempt"
    REPEATED = "after attempts that may have broken off in the middle"
    REFUSED = "nothing of it is stored"


@dataclass(frozen=True, slots=True)
class Begin:
    """Note ``insert`` as pending for its partitions, and for those ``released`` that nothing is.

    All of it or nothing. Answer: whether all these partitions are still ours.
    """

    insert: PendingInsert
    released: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Store(Generic[R]):
    """Insert the rows, as they stand, under the insert's token. Answer: an `Answer`."""

    insert: PendingInsert
    rows: tuple[R, ...]


@dataclass(frozen=True, slots=True)
class Check(Generic[R]):
    """See whether every target has the rows of a repeated insert, and take them back from all if one lacks some.

    ``insert`` is the one they were stored with. Answer: whether they are there.
    """

    insert: PendingInsert
    rows: tuple[R, ...]


@dataclass(frozen=True, slots=True)
class Divert(Generic[R]):
    """Keep a row that is refused for itself alone as a dead letter. Answer: None, once it is confirmed."""

    row: R


@dataclass(frozen=True, slots=True)
class Finish:
    """Note the ranges as durable and nothing as pending, where they are still ours. Answer: None."""

    ranges: tuple[OffsetRange, ...]


@dataclass(frozen=True, slots=True)
class Reread:
    """Read the records of a pending insert again and make rows of them, in the same order. Answer: the rows."""

    insert: PendingInsert


Step: TypeAlias = "Begin | Store[R] | Check[R] | Divert[R] | Finish | Reread"
Steps: TypeAlias = "Generator[Step[R], Any, None]"


def insert_of(topic: str, rows: Sequence[Placed], wall_ns: int) -> PendingInsert:
    """Return what the insert of these rows, in their order, is called."""
    ranges = []
    for partition, group in groupby(rows, key=lambda row: row.partition):
        offsets = [row.offset for row in group]
        ranges.append(OffsetRange(partition, offsets[0], offsets[-1]))
    return PendingInsert(topic, tuple(ranges), wall_ns)


class Ownership(Generic[R]):
    """What one owner of some partitions of a topic does, from its claim until another owner comes.

    `recover` with what is claimed, to its end; then `land` for each batch, one after the other. Both raise
    `OwnerChangedError`.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._durable: dict[int, int] = {}
        self.epochs: dict[int, int] = {}

    def recover(self, claimed: Sequence[Checkpoint]) -> Steps[R]:
        """Own partitions, and bring what their former owners left pending to its end: inserted exactly as it was.

        If it is refused or was not whole, nothing of it is stored, and the rows of our partitions are landed for
        themselves (the others belong to others). Records that Kafka has no more are missing in the second attempt; it
        is recognised all the same.
        """
        self._durable |= {each.partition: each.durable_offset for each in claimed}
        self.epochs |= {each.partition: each.epoch for each in claimed}
        for insert in {each.pending.token: each.pending for each in claimed if each.pending}.values():
            ours = {each.partition for each in claimed if each.pending == insert}
            rows: tuple[R, ...] = yield Reread(insert)
            own = tuple(row for row in rows if row.partition in ours)
            if own and ((yield Store(insert, rows)) is Answer.REFUSED or not (yield Check(insert, own))):
                yield from self._land(own, insert.wall_ns + 1)
            yield from self._finish(tuple(each for each in insert.ranges if each.partition in ours))

    def land(self, rows: Iterable[R], wall_ns: int) -> Steps[R]:
        """Store the rows that no insert has yet, or divert those that are refused. ``wall_ns`` is the time now."""
        fresh = self._fresh(rows)
        return self._land(sorted(fresh, key=attrgetter("partition", "offset")), wall_ns)

    def pass_over(self, ranges: Iterable[OffsetRange]) -> Steps[R]:
        """Note as durable what was taken, once all that is no row of it is a confirmed dead letter.

        Otherwise a record that was refused could be read again under another limit, and be stored beside the replay of
        its letter.
        """
        news = tuple(each for each in ranges if each.last > self._durable[each.partition])
        if news:
            yield from self._finish(news)

    def _fresh(self, rows: Iterable[R]) -> list[R]:
        return [row for row in rows if row.offset > self._durable[row.partition]]

    def _land(self, rows: Sequence[R], wall_ns: int) -> Steps[R]:
        """Insert rows that stand in order; halve what is refused, the first half first, so that offsets ascend."""
        parts = [tuple(rows)] if rows else []
        refused: set[int] = set()
        while parts:
            part = parts.pop()
            insert = insert_of(self._topic, part, wall_ns)
            partitions = {each.partition for each in insert.ranges}
            if not (yield Begin(insert, tuple(sorted(refused - partitions)))):
                raise OwnerChangedError(insert.token)
            answer = yield Store(insert, part)
            refused = set()
            if answer is Answer.REFUSED and len(part) > 1:
                middle, refused = len(part) // 2, partitions
                parts += [part[middle:], part[:middle]]
                continue
            if answer is Answer.REPEATED and not (yield Check(insert, part)):
                wall_ns += 1
                parts.append(part)
                continue
            if answer is Answer.REFUSED:
                yield Divert(part[0])
            yield from self._finish(insert.ranges)

    def _finish(self, ranges: tuple[OffsetRange, ...]) -> Steps[R]:
        yield Finish(ranges)
        for each in ranges:
            self._durable[each.partition] = max(self._durable[each.partition], each.last)
