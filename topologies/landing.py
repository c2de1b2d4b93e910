"""Landing raw rows: all of them stored, or the one that cannot be found out and dead-lettered.

::

    rows ──▶ insert ──▶ done
               ├─ unavailable ──▶ wait, again, for as long as it takes (reading stands still)
               └─ rejected ──▶ halves ──▶ … ──▶ one row ──▶ dead letter

A payload that our decoder takes and ClickHouse does not would otherwise wedge the worker for good. When row
after row is rejected it is the store or a bug of ours, and the worker stops rather than divert everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from schemas.errors import BadPayload, RejectReason, StoreRejected
from schemas.failpoints import Failpoint
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.kafka.producer import Message
from topologies import metrics
from topologies.dead_letters import Origin, message_letter
from topologies.failpoints import reached
from topologies.patience import insist

log = structlog.get_logger()

REJECTED_IN_A_ROW = 16
"""So many rows rejected one after the other, with no good one between, are a bug and not bad input."""


class Landing:
    """The raw sink as ingest uses it."""

    def __init__(self, sink: RawSink) -> None:
        self._sink = sink
        self._rejected_in_a_row = 0

    async def land(self, topic: str, rows: Sequence[RawRow], wanted: Callable[[], bool]) -> list[Message]:
        """Store the rows; return dead letters for those that ClickHouse will never take.

        Raises `LaneEndedError` when the rows are not ``wanted`` any more, `StoreRejected` when so much is
        rejected that it cannot be the input.
        """
        if not rows:
            return []
        reached(Failpoint.INSERT_BEFORE)
        try:
            await insist("clickhouse", "land", lambda: self._sink.insert(topic, list(rows)), wanted)
            reached(Failpoint.INSERT_AFTER)
        except StoreRejected as error:
            reached(Failpoint.REJECTED)
            return await self._find_bad(topic, rows, wanted, error)
        self._rejected_in_a_row = 0
        return []

    async def _find_bad(
        self, topic: str, rows: Sequence[RawRow], wanted: Callable[[], bool], error: StoreRejected
    ) -> list[Message]:
        if len(rows) > 1:
            middle = len(rows) // 2
            return [
                *await self.land(topic, rows[:middle], wanted),
                *await self.land(topic, rows[middle:], wanted),
            ]
        self._rejected_in_a_row += 1
        if self._rejected_in_a_row >= REJECTED_IN_A_ROW:
            raise error
        row = rows[0]
        log.warning("row_rejected", topic=topic, partition=row.partition, offset=row.offset, error=str(error))
        metrics.DEAD_LETTERS.labels(metrics.tenant_label(row.tenant), RejectReason.DECODE).inc()
        origin = Origin(topic, row.partition, row.offset, row.tenant, row.arrival_ns)
        return [message_letter(origin, row.value, BadPayload(RejectReason.DECODE, "ClickHouse refuses the payload"))]
