"""Whether a repeated insert is whole: what a deduplication token does not say.

::

    insert ──▶ each target: token noted ──▶ part shows        (MergeTreeSink: addPart, then renameTempPartAndAdd)
                                       └─ dies here: the token is known, the rows are nowhere, a repetition is dropped

So after a repetition the rows are counted: each record says how many items it has, and each item is stored or rejected.
What lacks any is taken back from every target. A worker that was stopped for long may do that late, when another has
stored the rows by now: only parts that showed before the count are touched, and there is no count while an insert of
those records runs. Parts never get a name again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.checkpoints import OffsetRange, PendingInsert
from schemas.errors import StoreUnavailable
from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.framing import RawRow

TARGETS: Final = {TRACES.name: "spans", METRICS.name: "metric_points", LOGS.name: "logs"}
SHARED_TARGETS: Final = ("rejected_items", "landed_records")
"""What a record is flattened into. (``trace_times`` keeps the smallest and largest: a second row changes nothing.)"""

FLAT: Final = "#flat"
"""What the token of an insert ends with for those of its records that come as flat rows."""

_RUNNING = """
SELECT Settings['insert_deduplication_token'] AS token FROM system.processes
WHERE Settings['insert_deduplication_token'] != ''
"""

_COUNT = """
SELECT
    (SELECT count() FROM landed_records WHERE {shared}) AS records,
    (SELECT sum(items) FROM landed_records WHERE {shared}) AS items,
    (SELECT count() FROM rejected_items WHERE {shared}) + (SELECT count() FROM {table} WHERE {own}) AS found
"""

_TRACE_TIMES = """
INSERT INTO trace_times SETTINGS insert_deduplicate = 0
SELECT tenant, trace_id, min(start_time), max(start_time), max(stored_at)
FROM spans WHERE {own} GROUP BY tenant, trace_id
"""


async def is_whole(clickhouse: ClickHouse, topic: str, rows: Sequence[RawRow]) -> bool:
    """Tell whether every target has the rows of a repeated insert; take them back from all if not.

    Raises `StoreUnavailable`, also while an insert of any of these records still runs.
    """
    parts = {table: await _parts(clickhouse, table, topic, rows) for table in _tables(topic)}
    if await _runs(clickhouse, topic, rows):
        raise StoreUnavailable(f"an insert of the same records of {topic} still runs")
    own, shared = _where(TARGETS[topic], topic, rows), _where("landed_records", topic, rows)
    [row] = await clickhouse.query(_COUNT.format(shared=shared, own=own, table=TARGETS[topic]))
    if (row["records"], row["items"]) == (len(rows), row["found"]):
        if topic == TRACES.name:
            await clickhouse.command(_TRACE_TIMES.format(own=own))
        return True
    await take_back(clickhouse, topic, rows, parts)
    return False


async def take_back(
    clickhouse: ClickHouse, topic: str, rows: Sequence[RawRow], parts: dict[str, list[str]] | None = None
) -> None:
    """Delete what is stored of the rows (in these ``parts`` of each table; None: in all)."""
    for table in _tables(topic):
        if not rows or (parts is not None and not parts[table]):
            continue
        of_parts = "" if parts is None else " AND _part IN ('" + "', '".join(parts[table]) + "')"
        await clickhouse.command(f"DELETE FROM {table} WHERE ({_where(table, topic, rows)}){of_parts}")  # noqa: S608


async def _parts(clickhouse: ClickHouse, table: str, topic: str, rows: Sequence[RawRow]) -> list[str]:
    found = await clickhouse.query(f"SELECT DISTINCT _part AS part FROM {table} WHERE {_where(table, topic, rows)}")  # noqa: S608
    return [row["part"] for row in found]


async def _runs(clickhouse: ClickHouse, topic: str, rows: Sequence[RawRow]) -> bool:
    """Tell whether any insert of some of these records is under way, under whatever token."""
    places = {(row.partition, row.offset) for row in rows}
    running = [range_ for row in await clickhouse.query(_RUNNING) for range_ in _ranges(row["token"], topic)]
    return any(
        partition == each.partition and each.first <= offset <= each.last
        for each in running
        for partition, offset in places
    )


def _ranges(token: str, topic: str) -> tuple[OffsetRange, ...]:
    try:
        insert = PendingInsert.parse(token.removesuffix(FLAT))
    except ValueError:
        return ()  # somebody else's insert
    return insert.ranges if insert.topic == topic else ()


def _tables(topic: str) -> tuple[str, ...]:
    return (TARGETS[topic], *SHARED_TARGETS)


def _where(table: str, topic: str, rows: Sequence[RawRow]) -> str:
    """Return the condition that picks what came of these rows; all in it are our own numbers and names.

    Their arrivals tell them from rows of a topic that was deleted and made anew, whose offsets were the same.
    """
    places: dict[int, list[int]] = {}
    for row in rows:
        places.setdefault(row.partition, []).append(row.offset)
    of_partitions = " OR ".join(
        f"(kafka_partition = {partition} AND kafka_offset IN ({', '.join(map(str, offsets))}))"
        for partition, offsets in places.items()
    )
    arrivals_ns = [row.arrival_ns for row in rows]
    first, last = (f"fromUnixTimestamp64Nano({found}, 'UTC')" for found in (min(arrivals_ns), max(arrivals_ns)))
    where = f"arrival_time BETWEEN {first} AND {last} AND ({of_partitions})"
    return f"topic = '{topic}' AND {where}" if table in SHARED_TARGETS else where
