"""The table of dead letters: written again nothing changes, refused again it is open again, and it is bounded."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from schemas.dead_letters import DeadLetter, LetterKey
from schemas.errors import NotFound
from sinks.postgres import dead_letters
from sinks.postgres.dead_letters import LetterFilter, LetterState, ReplayClaim, ReplayOutcome
from sinks.postgres.pool import Pool

EVERYTHING = LetterFilter()


def letter(offset: int = 1, payload: bytes = b"x", **changes: Any) -> DeadLetter:
    """Return a letter."""
    fields = {
        "topic": "otel.traces",
        "partition": 0,
        "offset": offset,
        "tenant": "acme",
        "reason": "decode",
        "detail": "no request",
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "payload_base64": base64.b64encode(payload).decode(),
        "decoder_version": "otlp-1",
        "first_seen_ns": 1_000 + offset,
    }
    return DeadLetter.model_validate(fields | changes)


async def test_letter_written_again_stays_what_it_became(pool: Pool) -> None:
    """A crash reads the record again; the letter was replayed meanwhile."""
    await dead_letters.store(pool, [letter(), letter()])
    await dead_letters.mark_replayed(pool, letter(), 3, 99, 5)
    await dead_letters.store(pool, [letter()])
    (stored,) = await dead_letters.page(pool, EVERYTHING)
    assert (stored.state, stored.replayed_partition, stored.replayed_offset) == (LetterState.REPLAYED, 3, 99)


async def test_a_listing_has_neither_payloads_nor_more_than_some_items(pool: Pool) -> None:
    """A letter names up to 50,000 and keeps 64 KiB; asked for by itself it has all."""
    named = letter(item=0, items=list(range(50_000)))
    await dead_letters.store(pool, [named])
    (brief,) = await dead_letters.page(pool, EVERYTHING, is_brief=True)
    assert (brief.letter.items, brief.item_count, brief.letter.payload_base64) == (list(range(64)), 50_000, "")
    stored = await dead_letters.get(pool, "acme", LetterKey.parse(named.key))
    assert (stored.letter, stored.item_count) == (named, 50_000)


async def test_refused_again_it_is_open_whatever_is_noted_first(pool: Pool) -> None:
    """The next refusal may be quicker than the note of the replay that led to it."""
    again = letter(attempt=1, detail="still no request")
    await dead_letters.store(pool, [letter()])
    await dead_letters.store(pool, [again])
    await dead_letters.mark_replayed(pool, letter(), 3, 99, 5)
    await dead_letters.store(pool, [letter()])
    (stored,) = await dead_letters.page(pool, EVERYTHING)
    assert (stored.state, stored.letter) == (LetterState.OPEN, again)


async def test_offsets_given_out_again_make_a_new_letter(pool: Pool) -> None:
    """A topic that was deleted and made anew: another payload, a later arrival."""
    await dead_letters.store(pool, [letter()])
    await dead_letters.mark_replayed(pool, letter(), 3, 99, 5)
    fresh = letter(payload=b"other", first_seen_ns=9_000)
    await dead_letters.store(pool, [fresh])
    (stored,) = await dead_letters.page(pool, EVERYTHING)
    assert (stored.state, stored.letter) == (LetterState.OPEN, fresh)


async def test_a_letter_with_a_time_beyond_the_tables_is_kept(pool: Pool) -> None:
    """Earlier versions wrote such letters to the topic, and each start ended at them."""
    await dead_letters.store(pool, [letter(1, first_seen_ns=-(2**70)), letter(2, first_seen_ns=2**70)])
    found = await dead_letters.page(pool, EVERYTHING)
    assert [stored.letter.first_seen_ns for stored in found] == [2**63 - 1, -(2**63)]


async def test_first_record_of_a_letter_and_attempt_is_the_replay(pool: Pool) -> None:
    """Whoever asks, in whatever order, again and again."""
    await dead_letters.store(pool, [letter()])
    key = LetterKey.parse(letter().key)
    first, second = (ReplayClaim("acme", key, 1, 0, offset, "another") for offset in (10, 11))
    foreign = ReplayClaim("evil", key, 1, 0, 9, letter().payload_sha256)
    ahead = ReplayClaim("acme", key, 2, 0, 12, "another")
    for _ in range(2):
        assert await dead_letters.claim(pool, [second, first, foreign, ahead]) == [
            ReplayOutcome.REPEATED, ReplayOutcome.FIRST, ReplayOutcome.UNFOUNDED, ReplayOutcome.UNFOUNDED,
        ]  # fmt: skip
    await dead_letters.store(pool, [letter(attempt=1)])
    assert await dead_letters.claim(pool, [first, ahead]) == [ReplayOutcome.FIRST, ReplayOutcome.FIRST]


async def test_a_letter_of_nobody_is_replayed_with_its_own_payload_only(pool: Pool) -> None:
    """Its name can be guessed. What somebody else sends under it is no replay, and does not take its place."""
    lost = letter(tenant="unknown")
    await dead_letters.store(pool, [lost])
    key = LetterKey.parse(lost.key)
    forged = ReplayClaim("evil", key, 1, 0, 9, hashlib.sha256(b"other").hexdigest())
    replayed = ReplayClaim("default", key, 1, 0, 10, lost.payload_sha256)
    outcomes = await dead_letters.claim(pool, [forged, replayed])
    assert outcomes == [ReplayOutcome.UNFOUNDED, ReplayOutcome.FIRST]
    await dead_letters.store(pool, [letter(tenant="evil", payload=b"other", attempt=1)])
    assert [stored.letter for stored in await dead_letters.page(pool, EVERYTHING)] == [lost]
    again = letter(tenant="default", attempt=1)
    await dead_letters.store(pool, [again])
    assert [stored.letter for stored in await dead_letters.page(pool, EVERYTHING)] == [again]


async def test_only_the_newest_letters_of_a_tenant_are_kept(pool: Pool) -> None:
    """One tenant's flood pushes nobody else's out, and what is forgotten is told."""
    await dead_letters.store(pool, [letter(offset) for offset in range(20)])
    await dead_letters.store(pool, [letter(offset, tenant="other") for offset in range(100, 103)])
    assert await dead_letters.expire(pool, 14, 5) == {"acme": 15}
    kept = await dead_letters.page(pool, EVERYTHING)
    assert [stored.letter.offset for stored in kept] == [102, 101, 100, 19, 18, 17, 16, 15]
    assert await dead_letters.expire(pool, 0, 5) == {}
    assert await dead_letters.page(pool, EVERYTHING) == []


async def test_counts_by_reason_and_state(pool: Pool) -> None:
    """For the last lines of a list."""
    await dead_letters.store(pool, [letter(1), letter(2), letter(3, reason="bad_id")])
    await dead_letters.mark_replayed(pool, letter(2), 0, 9, 5)
    found = await dead_letters.counts(pool, LetterFilter("acme"))
    assert found == {("decode", "open"): 1, ("decode", "replayed"): 1, ("bad_id", "open"): 1}


async def test_another_tenants_letter_is_not_found(pool: Pool) -> None:
    """The operator's look at all tenants is asked for by name."""
    await dead_letters.store(pool, [letter()])
    key = LetterKey.parse(letter().key)
    assert (await dead_letters.get(pool, None, key)).letter == letter()
    with pytest.raises(NotFound):
        await dead_letters.get(pool, "other", key)
