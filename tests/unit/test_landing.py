"""Landing: the one bad row is found and kept as a dead letter; when everything is refused the worker stops."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from checkpoint_table import AwaitedCheckpoints

from schemas.checkpoints import OffsetRange, PendingInsert
from schemas.dead_letters import DeadLetter, LetterKey, Replay
from schemas.errors import StoreRejected, StoreUnavailable
from sinks.clickhouse.landing import RawRow
from sinks.kafka.producer import Message
from streams.landing import OwnerChangedError
from topologies.landing import Landing
from topologies.patience import LaneEndedError

TOPIC = "otel.traces"


@dataclass
class PickySink:
    """Stores whole batches under their tokens; refuses those that hold a value it does not like."""

    bad: bytes
    stored: dict[str, list[int]] = field(default_factory=dict)
    arrivals_ns: list[int] = field(default_factory=list)
    hollow: set[str] = field(default_factory=set)
    """Tokens that are known without their rows."""
    away: int = 0
    counted: int = 0

    async def insert(self, topic: str, rows: Sequence[RawRow], token: str, ours: Container[int]) -> None:
        """Store the rows, or raise."""
        if any(row.value == self.bad for row in rows):
            raise StoreRejected("cannot parse")
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        if token in self.hollow:
            return
        self.stored[token] = [row.offset for row in rows]
        self.arrivals_ns += [row.arrival_ns for row in rows]

    async def is_whole(self, topic: str, rows: Sequence[RawRow]) -> bool:
        """Count."""
        self.counted += 1
        self.arrivals_ns += [row.arrival_ns for row in rows]
        stored = {offset for offsets in self.stored.values() for offset in offsets}
        return stored >= {row.offset for row in rows}


@dataclass
class Around:
    """A landing and what surrounds it."""

    sink: PickySink
    log: list[RawRow] = field(default_factory=list)
    checkpoints: AwaitedCheckpoints = field(default_factory=AwaitedCheckpoints)
    letters: list[Message] = field(default_factory=list)
    end: int = 100
    is_broken: bool = False
    probed: int = 0

    def landing(self) -> Landing:
        """Return a landing: that of a new worker."""
        checkpoints: Any = self.checkpoints
        return Landing(
            TOPIC,
            self.sink,  # type: ignore[arg-type]
            checkpoints,
            self._keep,
            self._read_again,
            self._read_ends,
            self._probe,
            patience_s=0.2,
        )

    async def _probe(self, wanted: Any, why: str) -> bool:
        self.probed += 1
        return not self.is_broken

    async def _keep(self, row: RawRow, letter: Message, wanted: Any) -> None:
        self.letters.append(letter)

    async def _read_again(self, insert: PendingInsert, wanted: Any) -> list[RawRow]:
        return [row for row in self.log for each in insert.ranges if each.first <= row.offset <= each.last]

    async def _read_ends(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self.end)


def rows(values: list[bytes]) -> list[RawRow]:
    """Return rows of one partition, numbered from 0."""
    return [RawRow("acme", 0, offset, value, 0) for offset, value in enumerate(values)]


def yes() -> bool:
    """Say that the partitions are still ours."""
    return True


async def test_one_bad_row_becomes_a_dead_letter_and_its_neighbours_are_stored() -> None:
    """Halving finds the row; the letter names where it was; everything is durable."""
    around = Around(PickySink(b"bad"))
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    await landing.land(rows([b"ok"] * 5 + [b"bad"] + [b"ok"] * 4), 7, yes)
    assert sorted(offset for stored in around.sink.stored.values() for offset in stored) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [letter.key for letter in around.letters] == [b"otel.traces:0:5:-1"]
    assert json.loads(around.letters[0].value or b"")["reason"] == "decode"
    kept = around.checkpoints.table.kept[TOPIC, 0]
    assert (kept.durable_offset, kept.pending) == (9, None)


def rows_of(tenant: str, values: list[bytes], first: int) -> list[RawRow]:
    """Return rows of a tenant in one partition, numbered on."""
    return [RawRow(tenant, 0, offset, value, 0) for offset, value in enumerate(values, first)]


async def test_row_after_row_refused_and_a_good_one_too_is_no_bad_input() -> None:
    """A sink that refuses everything ends in `StoreRejected`, not in diverting everything."""
    around = Around(PickySink(b"x"), is_broken=True)
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    many = [row for number in range(3) for row in rows_of(f"t{number}", [b"x"] * 50, 50 * number)]
    with pytest.raises(StoreRejected):
        await landing.land(many, 7, yes)
    assert len(around.letters) < 2 * 50


async def test_two_of_three_tenants_can_have_as_much_refused_as_they_like() -> None:
    """A good row is still taken, so each of theirs is a letter, and the third tenant's are stored."""
    around = Around(PickySink(b"bad"))
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    many = [*rows_of("acme", [b"ok"] * 2, 0), *rows_of("evil", [b"bad"] * 40, 2), *rows_of("worse", [b"bad"] * 40, 42)]
    await landing.land([*many, *rows_of("acme", [b"ok"] * 2, 82)], 7, yes)
    assert sorted(offset for stored in around.sink.stored.values() for offset in stored) == [0, 1, 82, 83]
    assert (len(around.letters), around.probed > 0) == (80, True)


async def test_one_tenant_can_have_as_much_refused_as_it_likes() -> None:
    """Alone or beside others: each is a letter, and what the others send is stored."""
    around = Around(PickySink(b"bad"))
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    await landing.land(rows_of("evil", [b"bad"] * 40, 0), 7, yes)
    await landing.land([*rows_of("acme", [b"ok"] * 2, 40), *rows_of("evil", [b"bad"] * 40, 42)], 8, yes)
    assert sorted(offset for stored in around.sink.stored.values() for offset in stored) == [40, 41]
    assert len(around.letters) == 80


async def test_a_replay_that_is_refused_again_is_the_same_letter_with_the_next_attempt() -> None:
    """However often: one letter. What is kept is what was sent, packed as it was."""
    around = Around(PickySink(b"bad"))
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    replay = Replay(LetterKey(TOPIC, 1, 7, -1), 3, 5)
    await landing.land([RawRow("acme", 0, 0, b"bad", 5, sent=b"packed", replay=replay)], 7, yes)
    (letter,) = (DeadLetter.model_validate_json(letter.value or b"") for letter in around.letters)
    assert (letter.key, letter.attempt, letter.first_seen_ns) == (f"{TOPIC}:1:7:-1", 3, 5)
    assert letter.payload_sha256 == hashlib.sha256(b"packed").hexdigest()


async def test_the_letter_of_a_refused_row_is_not_of_the_future() -> None:
    """Rows are taken back to the clock of an insert; one that is in none is as of now. A driven clock may be ahead."""
    around = Around(PickySink(b"bad"))
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    odd = [RawRow("acme", 0, 0, b"bad", 2**63 - 1), RawRow("acme", 0, 1, b"bad", 2**63 - 1, is_driven=True)]
    await landing.land(odd, 7, yes)
    seen_ns = [json.loads(letter.value or b"")["first_seen_ns"] for letter in around.letters]
    assert (0 <= time.time_ns() - seen_ns[0] < 60 * 10**9, seen_ns[1]) == (True, 2**63 - 1)


async def test_pending_insert_of_a_dead_worker_is_made_again_before_anything_new() -> None:
    """Same rows, same token; then the rest, without what is durable."""
    around = Around(PickySink(b"bad"), rows([b"ok"] * 6))
    first = around.landing()
    await first.own(1, {0: 0}, yes)
    insert = PendingInsert.parse("otel.traces:0:1-3@7")
    await around.checkpoints.begin(insert, {0: 1})
    second = around.landing()
    await second.own(2, {0: 0}, yes)
    await second.land(around.log[1:], 9, yes)
    assert around.sink.stored == {"otel.traces:0:1-3@7": [1, 2, 3], "otel.traces:0:4-5@9": [4, 5]}


async def test_pending_insert_whose_token_is_known_and_whose_rows_are_not_there_comes_under_another_token() -> None:
    """ClickHouse died between the note of the token and the rows: a repetition alone would lose them."""
    around = Around(PickySink(b"bad", hollow={"otel.traces:0:0-2@7"}), rows([b"ok"] * 3))
    await around.landing().own(1, {0: 0}, yes)
    await around.checkpoints.begin(PendingInsert.parse("otel.traces:0:0-2@7"), {0: 1})
    await around.landing().own(2, {0: 0}, yes)
    assert around.sink.stored == {"otel.traces:0:0-2@8": [0, 1, 2]}
    assert around.checkpoints.table.kept[TOPIC, 0].durable_offset == 2


async def test_arrivals_in_the_future_are_those_of_the_insert_in_every_attempt() -> None:
    """Else a repetition would not find its rows. A tenant on a clock of its own may be ahead of ours."""
    ahead = [RawRow("acme", 0, 0, b"ok", 8), RawRow("acme", 0, 1, b"ok", 8, is_driven=True), RawRow("a", 0, 2, b"", 3)]
    around = Around(PickySink(b"bad"), ahead)
    await around.landing().own(1, {0: 0}, yes)
    await around.checkpoints.begin(PendingInsert.parse("otel.traces:0:0-2@7"), {0: 1})
    await around.landing().own(2, {0: 0}, yes)
    inserted = counted = [7, 8, 3]
    assert around.sink.arrivals_ns == inserted + counted


async def test_an_insert_that_needed_several_attempts_is_counted() -> None:
    """The store may have died in the first; an insert that went well at once costs no count."""
    around = Around(PickySink(b"bad", hollow={"otel.traces:0:0-1@7"}))
    landing = around.landing()
    await landing.own(1, {0: 0}, yes)
    around.sink.away = 1
    await landing.land(rows([b"ok"] * 2), 7, yes)
    assert around.sink.stored == {"otel.traces:0:0-1@8": [0, 1]}
    assert around.sink.counted == 1


async def test_record_that_is_a_dead_letter_is_not_stored_when_it_is_read_again_under_a_looser_limit() -> None:
    """Its letter's replay will store it, and what comes after it is stored as ever."""
    around = Around(PickySink(b"bad"))
    first = around.landing()
    await first.own(1, {0: 0}, yes)
    await first.land(rows([b"ok"] * 2), 7, yes)
    await first.pass_over([OffsetRange(0, 2, 2)], yes)
    second = around.landing()
    await second.own(2, {0: 0}, yes)
    await second.land(rows([b"ok", b"ok", b"too large once", b"ok"]), 9, yes)
    assert around.sink.stored == {"otel.traces:0:0-1@7": [0, 1], "otel.traces:0:3-3@9": [3]}


async def test_worker_whose_epoch_is_stale_stores_nothing_and_gives_up_once_kafka_says_so() -> None:
    """It is fenced by the checkpoint before the rebalance reaches it."""
    around = Around(PickySink(b"bad"))
    old, new = around.landing(), around.landing()
    await old.own(1, {0: 0}, yes)
    await new.own(2, {0: 0}, yes)
    ours = [True]
    asyncio.get_running_loop().call_later(0.05, ours.clear)
    with pytest.raises(LaneEndedError):
        await old.land(rows([b"ok"]), 7, lambda: bool(ours))
    assert around.sink.stored == {}


async def test_worker_that_is_fenced_for_good_stops() -> None:
    """Kafka says that the partition is ours, PostgreSQL that it is not: two groups of one name. Nobody may guess."""
    around = Around(PickySink(b"bad"))
    old, new = around.landing(), around.landing()
    await old.own(1, {0: 0}, yes)
    await new.own(1, {0: 0}, yes)
    with pytest.raises(OwnerChangedError):
        await old.land(rows([b"ok"]), 7, yes)


async def test_checkpoint_of_a_topic_that_was_made_anew_skips_nothing() -> None:
    """Offsets begin again; what is durable speaks of other records."""
    around = Around(PickySink(b"bad"))
    first = around.landing()
    await first.own(1, {0: 0}, yes)
    await first.land(rows([b"ok"] * 9), 7, yes)
    around.end = 3
    second = around.landing()
    await second.own(2, {0: 0}, yes)
    await second.land(rows([b"new"] * 3), 9, yes)
    assert around.sink.stored["otel.traces:0:0-2@9"] == [0, 1, 2]
    assert around.checkpoints.table.kept[TOPIC, 0].durable_offset == 2
