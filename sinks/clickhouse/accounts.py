"""What became of each offset of the raw topics (table ``offset_accounts``): notes in, counts and holes out.

Offsets are kept as bitmaps in buckets of 65,536, so that what is read and compared is small, however much was stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.reconciling import Outcome, Outcomes, TenantAccount
from sinks.clickhouse.client import ClickHouse

NEWEST_EVENT = "event"
"""The outcome of a note that tells of no offset, only how new the newest stored event is."""

_COLUMNS = (
    "topic", "kafka_partition", "tenant", "outcome", "first_offset", "end_offset",
    "newest_arrival_unix_nano", "newest_event_unix_nano",
)  # fmt: skip

# Old rows expire one by one. A bucket that has lost any of its rows would look like a gap, so an account begins with
# the first bucket of which every row has a day to live.
_BEGIN = """
SELECT min(bucket) AS bucket FROM (
    SELECT bucket, min(stored_at) AS oldest FROM offset_accounts
    WHERE topic = {topic:String} AND kafka_partition = {partition:Int32} AND outcome != 'event' GROUP BY bucket
) WHERE oldest > now('UTC') - INTERVAL {days:UInt32} DAY
HAVING count() > 0
"""

_BUCKETS = """
SELECT bucket, bitmapMin(merged) AS first, bitmapMax(merged) AS last,
       bitmapCardinality(bitmapSubsetInRange(merged, {begin:UInt64}, {end:UInt64})) AS known
FROM (
    SELECT bucket, groupBitmapMergeState(offsets) AS merged FROM offset_accounts
    WHERE topic = {topic:String} AND kafka_partition = {partition:Int32} AND bucket >= {bucket:Int64}
      AND outcome != 'event'
    GROUP BY bucket
)
ORDER BY bucket
"""

_HOLES = """
WITH (
    SELECT groupBitmapMergeState(offsets) FROM offset_accounts
    WHERE topic = {topic:String} AND kafka_partition = {partition:Int32} AND bucket = {bucket:Int64}
) AS known
SELECT number AS offset FROM numbers({begin:UInt64}, {count:UInt64}) WHERE NOT bitmapContains(known, number)
ORDER BY offset
"""

_OUTCOMES = """
SELECT outcome, groupBitmapMerge(offsets) AS records FROM offset_accounts
WHERE topic = {topic:String} AND kafka_partition = {partition:Int32} AND bucket >= {bucket:Int64} AND outcome != 'event'
GROUP BY outcome
"""

_TENANTS = """
SELECT tenant, topic, sumIf(records, outcome = 'stored') AS stored, sumIf(records, outcome = 'refused') AS refused,
       sumIf(records, outcome = 'repeated') AS repeated, sumIf(records, outcome = 'empty') AS empty,
       toUnixTimestamp64Nano(max(newest_event)) AS newest_event_ns,
       toUnixTimestamp64Nano(max(newest_arrival)) AS newest_arrival_ns
FROM (
    SELECT tenant, topic, kafka_partition, outcome, groupBitmapMerge(offsets) AS records,
           max(offset_accounts.newest_event) AS newest_event, max(offset_accounts.newest_arrival) AS newest_arrival
    FROM offset_accounts WHERE {every:Bool} OR tenant = {tenant:String}
    GROUP BY tenant, topic, kafka_partition, outcome
)
GROUP BY tenant, topic ORDER BY tenant, topic
"""


@dataclass(frozen=True, slots=True)
class Note:
    """A range of offsets that all became the same; ``end_offset`` is exclusive. Instants 0: not told."""

    topic: str
    partition: int
    tenant: str
    outcome: Outcome | str
    first_offset: int
    end_offset: int
    newest_arrival_ns: int = 0
    newest_event_ns: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is known of 65,536 offsets: the smallest and largest, and how many there are in the range asked for."""

    number: int
    first_offset: int
    last_offset: int
    known: int


async def write_notes(clickhouse: ClickHouse, notes: Sequence[Note]) -> None:
    """Keep notes; writing them again changes nothing. Raises `StoreUnavailable`."""
    rows = [
        [
            note.topic, note.partition, note.tenant, str(note.outcome), note.first_offset, note.end_offset,
            note.newest_arrival_ns, note.newest_event_ns,
        ]
        for note in notes
    ]  # fmt: skip
    await clickhouse.insert_rows("offset_notes", _COLUMNS, rows, {"async_insert": 0})


async def first_bucket(clickhouse: ClickHouse, topic: str, partition: int, days: int) -> int | None:
    """Return the first bucket that will not lose rows to retention of ``days`` soon, or None if there is none."""
    rows = await clickhouse.query(_BEGIN, {"topic": topic, "partition": partition, "days": max(1, days - 1)})
    return int(rows[0]["bucket"]) if rows else None


async def buckets(
    clickhouse: ClickHouse, topic: str, partition: int, bucket: int, begin: int, end: int
) -> list[Bucket]:
    """Return the buckets from ``bucket`` on, with how many offsets of [begin, end) each knows."""
    parameters = {"topic": topic, "partition": partition, "bucket": bucket, "begin": begin, "end": max(begin, end)}
    rows = await clickhouse.query(_BUCKETS, parameters)
    return [Bucket(row["bucket"], row["first"], row["last"], row["known"]) for row in rows]


async def holes(clickhouse: ClickHouse, topic: str, partition: int, begin: int, end: int) -> list[int]:
    """Return the offsets of [begin, end), all of one bucket, that nothing is known of."""
    parameters = {
        "topic": topic, "partition": partition, "bucket": begin // 65_536, "begin": begin, "count": max(0, end - begin),
    }  # fmt: skip
    return [row["offset"] for row in await clickhouse.query(_HOLES, parameters)]


async def outcomes(clickhouse: ClickHouse, topic: str, partition: int, bucket: int) -> Outcomes:
    """Return how many records of a partition became what, from ``bucket`` on."""
    parameters = {"topic": topic, "partition": partition, "bucket": bucket}
    rows = await clickhouse.query(_OUTCOMES, parameters)
    return Outcomes(**{row["outcome"]: row["records"] for row in rows})


async def tenant_accounts(clickhouse: ClickHouse, tenant: str | None, at_ns: int) -> list[TenantAccount]:
    """Return what became of the records of one tenant, or of all of them, by topic."""
    rows = await clickhouse.query(_TENANTS, {"every": tenant is None, "tenant": tenant or ""})
    return [_tenant_account(row, at_ns) for row in rows]


def _tenant_account(row: dict[str, int | str], at_ns: int) -> TenantAccount:
    event_ns, arrival_ns = int(row["newest_event_ns"]) or None, int(row["newest_arrival_ns"]) or None
    return TenantAccount(
        tenant=str(row["tenant"]),
        topic=str(row["topic"]),
        outcomes=Outcomes(**{outcome.value: int(row[outcome.value]) for outcome in Outcome}),
        newest_event_ns=event_ns,
        newest_arrival_ns=arrival_ns,
        ingest_delay_s=None if event_ns is None else round(max(0, at_ns - event_ns) / 1e9, 3),
    )
