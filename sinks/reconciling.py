"""Reconcile what producers gave the broker with what became of it.

::

    broker: log [first, end), our committed floor ──┐
                                                    ├─▶ per partition: outcomes, gaps by name, lag
    ClickHouse: offset_accounts (bitmaps) ──────────┘   per tenant and topic: outcomes, newest stored event

Every offset below the floor must be accounted for: the floor moves only after that. What lies above is in hand or
waiting.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from schemas.reconciling import Gap, GapCause, PartitionAccount, Reconciliation
from schemas.settings import Settings
from schemas.topics import RAW_TOPICS
from sinks.clickhouse import accounts
from sinks.clickhouse.accounts import Bucket
from sinks.clickhouse.client import ClickHouse
from sinks.kafka.log_ends import LogEnds, LogReader, reading_logs

BUCKET = 65_536
NAMED_GAPS = 100


async def reconcile(settings: Settings, clickhouse: ClickHouse, tenant: str | None = None) -> Reconciliation:
    """Compare everything; ``tenant`` narrows what is told of tenants, not of partitions.

    Raises `StoreUnavailable` when the broker or ClickHouse does not answer.
    """
    async with reading_logs(settings) as logs:
        ends = await logs.ends(topic.name for topic in RAW_TOPICS)
        partitions = [await account_of(settings, clickhouse, logs, log) for log in ends]
    at_ns = time.time_ns()
    tenants = await accounts.tenant_accounts(clickhouse, tenant, at_ns)
    complete = not any(partition.missing_records for partition in partitions)
    return Reconciliation(at_ns=at_ns, complete=complete, partitions=partitions, tenants=tenants)


async def account_of(settings: Settings, clickhouse: ClickHouse, logs: LogReader, log: LogEnds) -> PartitionAccount:
    """Return the account of one partition."""
    place, floor = (log.topic, log.partition), log.first if log.committed is None else log.committed
    bucket = await accounts.first_bucket(clickhouse, *place, settings.raw_retention_days)
    begin = log.first if bucket is None else bucket * BUCKET
    known = [] if bucket is None else await accounts.buckets(clickhouse, *place, bucket, begin, floor)
    first = min([log.first, *(one.first_offset for one in known[:1])])
    read = max([first, *(one.last_offset + 1 for one in known)])
    ranges = await _unaccounted(clickhouse, log, known, first, min(floor, log.end))
    gaps = [gap for begin, end in ranges for gap in _named(begin, end, log.first)]
    read = max(read, min(floor, log.end))
    lag = max(0, log.end - max(read, log.first))
    return PartitionAccount(
        topic=log.topic,
        partition=log.partition,
        first_offset=first,
        floor_offset=floor,
        read_offset=read,
        end_offset=log.end,
        outcomes=await accounts.outcomes(clickhouse, *place, 0 if bucket is None else bucket),
        gaps=gaps[:NAMED_GAPS],
        missing_records=sum(gap.records for gap in gaps),
        lag_records=lag,
        lag_s=await _lag_s(logs, log, read) if lag else 0.0,
    )


async def _unaccounted(
    clickhouse: ClickHouse, log: LogEnds, known: list[Bucket], first: int, end: int
) -> list[tuple[int, int]]:
    """Return the ranges [begin, end) of [first, end) that nothing is known of, joined where they touch."""
    ranges: list[tuple[int, int]] = []
    at = first
    for one in known:
        low, high = max(first, one.number * BUCKET), min(end, (one.number + 1) * BUCKET)
        if at < low:
            ranges.append((at, min(low, end)))
        if one.known < high - low:
            ranges += _ranges(await accounts.holes(clickhouse, log.topic, log.partition, low, high))
        at = max(at, high)
    ranges.append((at, end))
    return _joined(pair for pair in ranges if pair[0] < pair[1])


def _ranges(offsets: list[int]) -> list[tuple[int, int]]:
    return _joined((offset, offset + 1) for offset in offsets)


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in ranges:
        if joined and joined[-1][1] == begin:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def _named(begin: int, end: int, log_first: int) -> list[Gap]:
    """Cut a range where the log begins: what lies before it was never read, what lies after it is in the log."""
    cut = min(max(begin, log_first), end)
    parts = ((begin, cut, GapCause.GONE), (cut, end, GapCause.MISSING))
    return [Gap(first_offset=low, last_offset=high - 1, cause=cause) for low, high, cause in parts if low < high]


async def _lag_s(logs: LogReader, log: LogEnds, read: int) -> float:
    arrived_ns = await logs.arrived_ns(log.topic, log.partition, max(read, log.first))
    return 0.0 if arrived_ns is None else max(0, time.time_ns() - arrived_ns) / 1e9
