"""A model of everything around the protocol of the raw sink: log, ClickHouse with its deduplication, workers that die.

::

    Log ──▶ Session (one worker in one generation: streams.landing is its only thinking) ──▶ Store, CheckpointTable
              │ performs one step at a time, may die before, in or after it, or go on although others own its lanes
              └─▶ committed offsets

`Flaws` takes one guard away at a time: with any of them missing, rows are lost or doubled.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from checkpoint_table import CheckpointTable

from schemas.checkpoints import Checkpoint, OffsetRange, PendingInsert
from sinks.clickhouse.repeats import FLAT
from streams.landing import Answer, Begin, Check, Divert, Finish, OwnerChangedError, Ownership, Reread, Steps, Store

TOPIC = "otel.traces"
TARGETS = ("spans", "rejected_items", "landed_records")
INSERTS = 2
"""Of what is refused or parsed, then of what is flat: ClickHouse can die in each, between two targets."""

MOMENTS = INSERTS * len(TARGETS)
WINDOW = 10_000


class Kind(Enum):
    """What a record of the log is."""

    GOOD = "a row that ClickHouse takes"
    FLAT = "a row that comes in a second insert, behind those that can be refused"
    POISON = "a row that makes ClickHouse refuse every insert it is in"
    BARREN = "no row: a tick, or a dead letter of the decoder's"


@dataclass(frozen=True)
class Row:
    """A row: where it is from and what happens to it."""

    partition: int
    offset: int
    kind: Kind


@dataclass(frozen=True)
class Flaws:
    """Guards that can be missing."""

    no_token: bool = False
    no_pending: bool = False
    no_skip: bool = False
    no_fence: bool = False
    no_reread: bool = False
    no_check: bool = False


@dataclass
class Target:
    """A MergeTree table with its deduplication window."""

    rows: Counter[tuple[int, int]] = field(default_factory=Counter)
    tokens: deque[str] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def insert(self, token: str | None, rows: tuple[Row, ...]) -> None:
        """Store the rows unless the token is known."""
        if token is None or token not in self.tokens:
            self.rows.update((row.partition, row.offset) for row in rows)
        if token is not None:
            self.tokens.append(token)

    def die_in_insert(self, token: str | None) -> None:
        """Die between the note of the token and the rows, as a MergeTree without replicas can."""
        if token is not None and token not in self.tokens:
            self.tokens.append(token)


@dataclass
class World:
    """What outlives every worker."""

    partitions: int
    flaws: Flaws = field(default_factory=Flaws)
    log: list[list[Kind]] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)
    targets: list[Target] = field(default_factory=lambda: [Target() for _ in TARGETS])
    letters: set[tuple[int, int]] = field(default_factory=set)
    checkpoints: CheckpointTable = field(default_factory=CheckpointTable)
    clock_ns: int = 0

    def __post_init__(self) -> None:
        self.log = [[] for _ in range(self.partitions)]
        self.committed = [0] * self.partitions

    def rows(self, partition: int, first: int, last: int) -> list[Row]:
        """Return the rows of a range of the log."""
        kinds = self.log[partition][first : last + 1]
        return [Row(partition, first + n, kind) for n, kind in enumerate(kinds) if kind is not Kind.BARREN]

    def store(self, insert: PendingInsert, rows: tuple[Row, ...], moments: int = MOMENTS) -> bool:
        """Store both inserts up to a moment, if it ends in the next one; return False when refused."""
        if any(row.kind is Kind.POISON for row in rows):
            return False
        parted = [tuple(row for row in rows if (row.kind is Kind.FLAT) == is_flat) for is_flat in (False, True)]
        tokens = [None, None] if self.flaws.no_token else [insert.token, insert.token + FLAT]
        todo = [each for each in zip(tokens, parted, strict=True) if each[1]]
        steps = [(target, *each) for each in todo for target in self.targets]
        for target, token, some in steps[:moments]:
            target.insert(token, some)
        for target, token, _ in steps[moments : moments + 1]:
            target.die_in_insert(token)
        return True

    def is_whole(self, rows: tuple[Row, ...]) -> bool:
        """Tell whether all tables have the rows once; none has them afterwards if not."""
        places = [(row.partition, row.offset) for row in rows]
        if self.flaws.no_check or all(target.rows[place] == 1 for target in self.targets for place in places):
            return True
        for target in self.targets:
            for place in places:
                del target.rows[place]
        return False

    def check(self) -> None:
        """Assert that nothing is doubled, and that nothing which will not be read again is missing."""
        for target in self.targets:
            doubled = [place for place, count in target.rows.items() if count > 1]
            assert not doubled, f"stored twice: {doubled}"
        for partition in range(self.partitions):
            known = self.checkpoints.kept.get((TOPIC, partition), Checkpoint(partition, 0))
            self._check_safe(partition, max(known.durable_offset, self.committed[partition] - 1))

    def _check_safe(self, partition: int, last: int) -> None:
        for row in self.rows(partition, 0, last):
            place = (row.partition, row.offset)
            if row.kind is Kind.POISON:
                assert place in self.letters, f"no dead letter: {place}"
            else:
                assert all(target.rows[place] for target in self.targets), f"lost: {place}"


class Unskipping(Ownership[Row]):
    """The flaw of an owner that does not skip what is durable."""

    def _fresh(self, rows: Iterable[Row]) -> list[Row]:
        return list(rows)


@dataclass
class Session:
    """A worker in one generation: its partitions, where it reads, and the step it is about to perform."""

    world: World
    positions: dict[int, int]
    owner: Ownership[Row] | None = None
    steps: Steps[Row] | None = None
    step: Any = None
    over: bool = False
    landed: dict[int, int] = field(default_factory=dict)
    """Positions that may be committed: everything below is durable."""

    def claim(self) -> None:
        """Own the partitions, and begin to recover what is pending."""
        claimed = self.world.checkpoints.claim(TOPIC, self.positions)
        self.owner = (Unskipping if self.world.flaws.no_skip else Ownership)(TOPIC)
        self._run(self.owner.recover(claimed))

    def take(self, sizes: dict[int, int]) -> None:
        """Take a batch of so many records of each partition, and begin to land it."""
        assert self.owner is not None
        rows = []
        for partition, position in self.positions.items():
            self.positions[partition] = min(position + sizes.get(partition, 0), len(self.world.log[partition]))
            rows += self.world.rows(partition, position, self.positions[partition] - 1)
        self.world.clock_ns += 1
        self._run(self._landing(rows, self.owner))

    def _landing(self, rows: list[Row], owner: Ownership[Row]) -> Steps[Row]:
        taken = [OffsetRange(partition, end - 1, end - 1) for partition, end in self.positions.items()]
        yield from owner.land(rows, self.world.clock_ns)
        yield from owner.pass_over(taken)

    def perform(self, *, moments: int = MOMENTS, again: bool = False) -> Any:
        """Perform the step, ``again`` when it may be half done, and return its answer; nobody is told yet."""
        world, step = self.world, self.step
        if isinstance(step, Begin):
            return self._begin(step)
        if isinstance(step, Store):
            done = Answer.REPEATED if again else Answer.STORED
            return done if world.store(step.insert, step.rows, moments) else Answer.REFUSED
        if isinstance(step, Check):
            return world.is_whole(step.rows)
        if isinstance(step, Divert):
            return world.letters.add((step.row.partition, step.row.offset))
        if isinstance(step, Finish):
            return world.checkpoints.finish(TOPIC, step.ranges, self._epochs())
        assert isinstance(step, Reread)
        ranges = () if world.flaws.no_reread else step.insert.ranges
        return tuple(row for each in ranges for row in world.rows(each.partition, each.first, each.last))

    def _begin(self, step: Begin) -> bool:
        if self.world.flaws.no_pending:
            known, epochs = self.world.checkpoints.kept, self._epochs()
            return all(known[TOPIC, each.partition].epoch == epochs[each.partition] for each in step.insert.ranges)
        return self.world.checkpoints.begin(step.insert, self._epochs(), step.released)

    def _epochs(self) -> dict[int, int]:
        assert self.owner is not None
        if self.world.flaws.no_fence:
            return {partition: self.world.checkpoints.kept[TOPIC, partition].epoch for partition in self.positions}
        return self.owner.epochs

    def answer(self, answer: Any) -> None:
        """Tell the protocol what came of the step."""
        assert self.steps is not None
        try:
            self.step = self.steps.send(answer)
        except StopIteration:
            self.steps = self.step = None
            self.landed = dict(self.positions)
        except OwnerChangedError:
            self.over, self.steps = True, None

    def _run(self, steps: Steps[Row]) -> None:
        self.steps = steps
        self.answer(None)
