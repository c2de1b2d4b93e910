"""The dead letters that can be looked at and sent again.

::

    store ──▶ open ──mark_replayed──▶ replayed
                ▲                        │ refused again: the same letter, attempt + 1
                └────────────────────────┘

Writing a letter again changes nothing; a later attempt replaces an earlier one.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import asyncpg

from schemas.dead_letters import MOST_ITEMS_LISTED, DeadLetter, LetterKey
from schemas.errors import NotFound, RejectReason
from sinks.postgres.documents import clean, int64
from sinks.postgres.pool import Pool, translated

Position = tuple[int, str]
"""Where a page ended: ``(first_seen_ns, key)`` of its last row."""


class LetterState(StrEnum):
    """Whether a letter waits, or was sent again and not refused since."""

    OPEN = "open"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter and what became of it. The replay is where its record lies in the letter's own topic."""

    letter: DeadLetter
    state: LetterState
    replayed_ns: int | None
    replayed_partition: int | None
    replayed_offset: int | None
    item_count: int = 0
    """Of the letter; a listing names only the first `MOST_ITEMS_LISTED`."""

    @property
    def position(self) -> Position:
        """Where a page that ends with this letter continues."""
        return self.letter.first_seen_ns, self.letter.key


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters: None does not filter. ``tenant`` None means all tenants, for operators only."""

    tenant: str | None = None
    topic: str | None = None
    reason: RejectReason | None = None
    state: LetterState | None = None
    since_ns: int | None = None
    until_ns: int | None = None


# A topic that was made anew gives its offsets out again: another payload under a known name is a new letter.
# A later attempt is the tenant's own, or brings the payload of a letter that was nobody's.
_STORE = """
INSERT INTO dead_letters (
    topic, kafka_partition, kafka_offset, item, tenant, attempt, reason, detail, items, payload, payload_bytes,
    payload_sha256, payload_truncated, decoder_version, driven, first_seen_ns
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (topic, kafka_partition, kafka_offset, item) DO UPDATE SET
    tenant = excluded.tenant, attempt = excluded.attempt, state = 'open', reason = excluded.reason,
    detail = excluded.detail, items = excluded.items, payload = excluded.payload,
    payload_bytes = excluded.payload_bytes, payload_sha256 = excluded.payload_sha256,
    payload_truncated = excluded.payload_truncated, decoder_version = excluded.decoder_version,
    driven = excluded.driven, first_seen_ns = excluded.first_seen_ns, stored_at = now(),
    replayed_ns = NULL, replayed_partition = NULL, replayed_offset = NULL
WHERE (excluded.attempt > dead_letters.attempt
       AND (excluded.tenant = dead_letters.tenant OR excluded.payload_sha256 = dead_letters.payload_sha256))
   OR (excluded.attempt = 0 AND excluded.first_seen_ns > dead_letters.first_seen_ns
       AND excluded.payload_sha256 <> dead_letters.payload_sha256)
"""


async def store(pool: Pool, letters: Sequence[DeadLetter]) -> None:
    """Keep letters; known ones change nothing, none is nothing to do. Raises `StoreUnavailable`."""
    if not letters:
        return
    rows = [
        (
            one.topic, one.partition, one.offset, one.item, one.tenant, one.attempt, one.reason.value,
            clean(one.detail), one.items, base64.b64decode(one.payload_base64), one.payload_bytes,
            one.payload_sha256, one.payload_truncated, one.decoder_version, one.driven, int64(one.first_seen_ns),
        )
        for one in letters
    ]  # fmt: skip
    with translated("storing dead letters"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.executemany(_STORE, rows)


_WHERE = """
WHERE ($1::text IS NULL OR tenant = $1)
  AND ($2::text IS NULL OR topic = $2)
  AND ($3::text IS NULL OR reason = $3)
  AND ($4::text IS NULL OR state = $4)
  AND ($5::bigint IS NULL OR first_seen_ns >= $5)
  AND ($6::bigint IS NULL OR first_seen_ns < $6)
"""

_PAGE = """
SELECT * FROM dead_letters {where}
  AND ($7::bigint IS NULL OR (first_seen_ns, letter_key) < ($7, $8::text))
ORDER BY first_seen_ns DESC, letter_key DESC
LIMIT $9
"""
_WHOLE = _PAGE.format(where=_WHERE)
_BRIEF = _WHOLE.replace(
    "SELECT *",
    f"""SELECT topic, kafka_partition, kafka_offset, item, items[1:{MOST_ITEMS_LISTED}] AS items,
       cardinality(items) AS item_count, tenant, attempt, state, reason, detail, ''::bytea AS payload, payload_bytes,
       payload_sha256, payload_truncated, decoder_version, driven, first_seen_ns, replayed_ns, replayed_partition,
       replayed_offset""",
)
"""A letter has up to 64 KiB, and names up to 50,000 items: a page of them could have 400 MB in memory."""


async def page(
    pool: Pool, wanted: LetterFilter, *, after: Position | None = None, limit: int = 50, is_brief: bool = False
) -> list[StoredLetter]:
    """Return up to ``limit`` letters, latest first, after position ``after``; brief: no payloads, few items."""
    after_ns, after_key = after or (None, None)
    with translated("listing dead letters"):
        rows = await pool.fetch(
            _BRIEF if is_brief else _WHOLE,
            *_bound(wanted),
            int64(after_ns),
            None if after_key is None else clean(after_key),
            limit,
        )
    return [_stored(row) for row in rows]


async def counts(pool: Pool, wanted: LetterFilter) -> dict[tuple[str, str], int]:
    """Return how many letters there are by (reason, state)."""
    with translated("counting dead letters"):
        rows = await pool.fetch(
            f"SELECT reason, state, count(*) FROM dead_letters {_WHERE} GROUP BY reason, state",  # noqa: S608
            *_bound(wanted),
        )
    return {(row["reason"], row["state"]): row["count"] for row in rows}


async def recent(pool: Pool, seconds: int) -> dict[str, int]:
    """Return how many letters of each tenant were stored in the last ``seconds``. Raises `StoreUnavailable`."""
    with translated("counting dead letters"):
        rows = await pool.fetch(
            "SELECT tenant, count(*) FROM dead_letters WHERE stored_at > now() - make_interval(secs => $1)"
            " GROUP BY tenant",
            float(seconds),
        )
    return {row["tenant"]: row["count"] for row in rows}


def _bound(wanted: LetterFilter) -> tuple[object, ...]:
    return (
        None if wanted.tenant is None else clean(wanted.tenant),
        None if wanted.topic is None else clean(wanted.topic),
        wanted.reason and wanted.reason.value,
        wanted.state and wanted.state.value,
        int64(wanted.since_ns),
        int64(wanted.until_ns),
    )


async def get(pool: Pool, tenant: str | None, key: LetterKey) -> StoredLetter:
    """Return one letter; of any tenant when ``tenant`` is None. Raises `NotFound`, also for another tenant's."""
    with translated("reading a dead letter"):
        row = await pool.fetchrow(
            "SELECT * FROM dead_letters WHERE topic = $1 AND kafka_partition = $2 AND kafka_offset = $3 AND item = $4"
            " AND ($5::text IS NULL OR tenant = $5)",
            *(key.topic, key.partition, key.offset, key.item),
            tenant,
        )
    if row is None:
        raise NotFound(f"no dead letter {key}")
    return _stored(row)


async def mark_replayed(pool: Pool, letter: DeadLetter, partition: int, offset: int, wall_ns: int) -> None:
    """Note where a letter was sent again to. One that was refused again meanwhile stays open."""
    with translated("noting a replay"):
        await pool.execute(
            "UPDATE dead_letters SET state = 'replayed', replayed_ns = $6, replayed_partition = $7,"
            " replayed_offset = $8 WHERE topic = $1 AND kafka_partition = $2 AND kafka_offset = $3 AND item = $4"
            " AND attempt = $5",
            *(letter.topic, letter.partition, letter.offset, letter.item, letter.attempt),
            *(wall_ns, partition, offset),
        )


class ReplayOutcome(StrEnum):
    """What a record that says it is a replay is."""

    FIRST = "first"
    """The one that counts."""
    REPEATED = "repeated"
    """Another record is the replay of this letter and attempt."""
    UNFOUNDED = "unfounded"
    """Its tenant has no such letter, nor is it the payload of nobody's: the header means nothing."""


@dataclass(frozen=True, slots=True)
class ReplayClaim:
    """A record that says it is the ``attempt``-th replay of a letter, and where it lies in the letter's topic.

    Anybody can say so. ``payload_sha256`` is of its value: a letter of nobody is sent again by whoever has that.
    """

    tenant: str
    letter: LetterKey
    attempt: int
    partition: int
    offset: int
    payload_sha256: str


_CLAIM = """
INSERT INTO dead_letter_replays (tenant, letter_key, attempt, kafka_partition, kafka_offset)
SELECT DISTINCT ON (c.tenant, c.letter_key, c.attempt)
       c.tenant, c.letter_key, c.attempt, c.kafka_partition, c.kafka_offset
FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::int[], $8::bigint[], $9::int[],
            $10::text[])
    AS c (tenant, letter_key, attempt, kafka_partition, kafka_offset, topic, source_partition, source_offset, item,
          payload_sha256)
JOIN dead_letters d ON (d.topic, d.kafka_partition, d.kafka_offset, d.item)
    = (c.topic, c.source_partition, c.source_offset, c.item)
WHERE (d.tenant = c.tenant OR d.tenant = 'unknown' AND d.payload_sha256 = c.payload_sha256)
  AND d.attempt = c.attempt - 1
ORDER BY c.tenant, c.letter_key, c.attempt, c.kafka_offset
ON CONFLICT DO NOTHING
"""

_TAKEN = """
SELECT r.tenant, r.letter_key, r.attempt, r.kafka_partition, r.kafka_offset
FROM dead_letter_replays r
JOIN unnest($1::text[], $2::text[], $3::int[]) AS c (tenant, letter_key, attempt) USING (tenant, letter_key, attempt)
"""


async def claim(pool: Pool, claims: Sequence[ReplayClaim]) -> list[ReplayOutcome]:
    """Say of each record whether it is the first of its letter and attempt. Asked again, the answer is the same.

    Raises `StoreUnavailable`.
    """
    names = [[c.tenant for c in claims], [str(c.letter) for c in claims], [c.attempt for c in claims]]
    places = [[c.partition for c in claims], [c.offset for c in claims]]
    letters = [
        [c.letter.topic for c in claims], [c.letter.partition for c in claims],
        [c.letter.offset for c in claims], [c.letter.item for c in claims],
    ]  # fmt: skip
    with translated("claiming replays"):
        await pool.execute(_CLAIM, *names, *places, *letters, [c.payload_sha256 for c in claims])
        rows = await pool.fetch(_TAKEN, *names)
    taken = {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}
    return [_outcome(one, taken.get((one.tenant, str(one.letter), one.attempt))) for one in claims]


def _outcome(one: ReplayClaim, taken: tuple[int, int] | None) -> ReplayOutcome:
    if taken is None:
        return ReplayOutcome.UNFOUNDED
    return ReplayOutcome.FIRST if taken == (one.partition, one.offset) else ReplayOutcome.REPEATED


_EXCESS = """
DELETE FROM dead_letters d USING (
    SELECT topic, kafka_partition, kafka_offset, item,
           row_number() OVER (PARTITION BY tenant ORDER BY first_seen_ns DESC, letter_key DESC) AS place
    FROM dead_letters
) ranked
WHERE ranked.place > $1
  AND (d.topic, d.kafka_partition, d.kafka_offset, d.item)
    = (ranked.topic, ranked.kafka_partition, ranked.kafka_offset, ranked.item)
RETURNING d.tenant
"""


async def expire(pool: Pool, retention_days: int, kept: int) -> dict[str, int]:
    """Forget letters older than ``retention_days``, and all but the newest ``kept`` of each tenant.

    Returns how many of each tenant were forgotten for being too many. Raises `StoreUnavailable`.
    """
    with translated("forgetting old dead letters"):
        for table, column in (("dead_letters", "stored_at"), ("dead_letter_replays", "taken_at")):
            days = retention_days if table == "dead_letters" else 2 * retention_days
            await pool.execute(f"DELETE FROM {table} WHERE {column} < now() - make_interval(days => $1)", days)  # noqa: S608
        rows = await pool.fetch(_EXCESS, kept)
    forgotten: dict[str, int] = {}
    for row in rows:
        forgotten[row["tenant"]] = forgotten.get(row["tenant"], 0) + 1
    return forgotten


def _stored(row: asyncpg.Record) -> StoredLetter:
    letter = DeadLetter(
        topic=row["topic"],
        partition=row["kafka_partition"],
        offset=row["kafka_offset"],
        payload_base64=base64.b64encode(row["payload"]).decode(),
        **{
            name: row[name]
            for name in (
                "item", "items", "tenant", "reason", "detail", "payload_sha256", "payload_bytes", "payload_truncated",
                "decoder_version", "first_seen_ns", "driven", "attempt",
            )
        },
    )  # fmt: skip
    state = LetterState(row["state"])
    replayed = row["replayed_ns"], row["replayed_partition"], row["replayed_offset"]
    return StoredLetter(letter, state, *replayed, row.get("item_count", len(row["items"])))
