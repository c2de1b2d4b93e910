"""Lands Kafka records in ClickHouse as the bytes they are; views flatten them in SQL (migrations, schemas/proto).

::

    RawRow ──▶ frame ──▶ INSERT INTO landing_traces FORMAT Protobuf ──▶ spans, trace_times
                                    (stores nothing itself)         ──▶ rejected_items
                                                                    ──▶ landed_records

A refused insert leaves nothing: rows are parsed into one block before anything is written, so one value that cannot be
parsed refuses them all; what a failing view has let through to other targets is taken back. With a token, a repeated
insert of the same rows changes nothing, and one that broke off in the middle is completed: each target knows by itself
the tokens of its last 10,000 inserted blocks. What a token cannot do, `sinks.clickhouse.repeats` checks.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

from schemas.errors import SetupError
from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse, ClickHouseRejected
from sinks.clickhouse.framing import RawRow, frame, landing_schema
from sinks.clickhouse.repeats import is_whole, take_back

__all__ = ["RawRow", "RawSink"]

SIGNALS: Final = {TRACES.name: "traces", METRICS.name: "metrics", LOGS.name: "logs"}

# What the data can cause (src/Common/ErrorCodes.cpp): parsing, conversion and size errors.
DATA_CODES: Final = frozenset(
    {6, 9, 11, 19, 23, 27, 32, 33, 36, 69, 70, 72, 117, 128, 131, 190, 321, 407, 436, 437, 444}
)

PARSER: Final = "ProtobufRowInputFormat"
"""Where ClickHouse says an error happened that the data alone can have caused, whatever its code."""

_SETTINGS: Final[dict[str, Any]] = {
    "format_schema_source": "string",
    "format_schema_message_name": "Record",
    "async_insert": 0,  # an asynchronous insert answers before it is stored, and forgets the token
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,  # times are clamped in SQL; a refusal here would only wedge the writer
}


class RawSink:
    """Inserts Kafka records of the raw topics."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def insert(
        self, topic: str, rows: Sequence[RawRow], token: str | None = None, ours: Container[int] | None = None
    ) -> None:
        """Store the rows of one raw topic; they may be of several partitions and tenants. None is nothing to do.

        With a ``token`` the insert happens once, however often it is called with the same rows and token; but see
        `is_whole`. What a refused insert has let through is taken back where it is of the partitions that are ``ours``
        (None: all are).
        Raises `StoreUnavailable` (call again), `StoreRejected` when a row cannot be parsed (nothing is stored), and
        `SetupError` when ClickHouse lacks our tables or is too old.
        """
        if not rows:
            return
        signal = SIGNALS[topic]
        settings = _SETTINGS | {"format_schema": landing_schema(signal)}
        if token is not None:
            settings["insert_deduplication_token"] = token
        try:
            await self._clickhouse.insert_bytes(f"landing_{signal}", frame(rows), "Protobuf", settings)
        except ClickHouseRejected as error:
            if PARSER in str(error):
                raise
            if error.code in DATA_CODES:
                own = [row for row in rows if ours is None or row.partition in ours]
                await take_back(self._clickhouse, topic, own)
                raise
            remedy = "Run `incidentscope migrate`, and `incidentscope doctor` if that does not help."
            raise SetupError(f"ClickHouse does not take {topic}: {error}", remedy) from error

    async def is_whole(self, topic: str, rows: Sequence[RawRow]) -> bool:
        """Tell whether a repeated insert of these rows has reached every target; if not, none has them afterwards.

        They need another token then. Raises `StoreUnavailable`, also while an insert of them still runs.
        """
        return await is_whole(self._clickhouse, topic, rows)
