"""Lands Kafka records in ClickHouse: as rows that were flattened before, or as the bytes they are, flattened in SQL.

::

    RawRow ─┬─ read here ──▶ flat rows ──▶ INSERT INTO flat_spans FORMAT Native ────────┬▶ spans, trace_times
            │  (streams.flat_columns)                                                   ├▶ rejected_items
            └─ left alone ─▶ frame ──▶ INSERT INTO landing_traces FORMAT Protobuf ──────┴▶ landed_records
                                             (neither stores anything itself)

What is stored is the same either way; flat rows cost less (docs/adr/0027). Records that are left alone go first: only
those can be refused, and then nothing is stored.

A refused insert leaves nothing: rows are parsed into one block before anything is written, so one value that cannot be
parsed refuses them all; what a failing view has let through to other targets is taken back. With a token, a repeated
insert of the same rows changes nothing, and one that broke off in the middle is completed: each target knows by itself
the tokens of its last 10,000 inserted blocks. What a token cannot do, `sinks.clickhouse.repeats` checks: also that a
repetition has divided the records in another way, as another version may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from functools import partial
from operator import is_
from typing import Any, Final

from schemas.errors import SetupError
from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse, ClickHouseRejected
from sinks.clickhouse.flat import FLAT_TABLES, Flat, Flatten, native_block
from sinks.clickhouse.framing import RawRow, frame, landing_schema
from sinks.clickhouse.repeats import FLAT, is_whole, take_back

__all__ = ["RawRow", "RawSink"]

SIGNALS: Final = {TRACES.name: "traces", METRICS.name: "metrics", LOGS.name: "logs"}

# What the data can cause (src/Common/ErrorCodes.cpp): parsing, conversion and size errors.
DATA_CODES: Final = frozenset(
    {6, 9, 11, 19, 23, 27, 32, 33, 36, 69, 70, 72, 117, 128, 131, 190, 321, 407, 436, 437, 444}
)

PARSER: Final = "ProtobufRowInputFormat"
"""Where ClickHouse says an error happened that the data alone can have caused, whatever its code."""

_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,  # an asynchronous insert answers before it is stored, and forgets the token
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,  # times are clamped in SQL; a refusal here would only wedge the writer
}


class RawSink:
    """Inserts Kafka records of the raw topics. ``flatten`` has, by topic, what makes flat rows of messages."""

    def __init__(self, clickhouse: ClickHouse, flatten: Mapping[str, Flatten] | None = None) -> None:
        self._clickhouse = clickhouse
        self._flatten = flatten or {}
        self._ahead: dict[str, _Flattening] = {}

    def prepare(self, topic: str, rows: Sequence[RawRow]) -> None:
        """Begin to flatten the rows that are likely the next to be inserted; only the last ones of a topic are kept."""
        if topic in self._flatten:
            self._ahead[topic] = _Flattening(self._flatten[topic], [row.value for row in rows])

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
        flat = await self._flattened(topic, rows)
        own = [row for row in rows if ours is None or row.partition in ours]
        left = rows if flat is None else [row for row, count in zip(rows, flat.rows, strict=True) if not count]
        if left:
            await self._guarded(topic, own, partial(self._insert_protobuf, SIGNALS[topic], left, token))
        if flat is not None and len(left) < len(rows):
            await self._guarded(topic, own, partial(self._insert_flat, topic, rows, flat, token))

    async def try_out(self, topic: str, rows: Sequence[RawRow]) -> None:
        """Store rows of our own, as they would be stored, and take them back. Raises as `insert`."""
        try:
            await RawSink(self._clickhouse, self._flatten).insert(topic, rows)
        finally:
            await take_back(self._clickhouse, topic, rows)

    async def _flattened(self, topic: str, rows: Sequence[RawRow]) -> Flat | None:
        if topic not in self._flatten:
            return None
        values = [row.value for row in rows]
        ahead = self._ahead.pop(topic, None)
        if ahead is None or not ahead.is_of(values):
            ahead = _Flattening(self._flatten[topic], values)
        return await ahead.done

    async def _insert_protobuf(self, signal: str, rows: Sequence[RawRow], token: str | None) -> None:
        settings = _settings(token) | {
            "format_schema_source": "string",
            "format_schema_message_name": "Record",
            "format_schema": landing_schema(signal),
        }
        await self._clickhouse.insert_bytes(f"landing_{signal}", frame(rows), "Protobuf", settings)

    async def _insert_flat(self, topic: str, rows: Sequence[RawRow], flat: Flat, token: str | None) -> None:
        settings = _settings(None if token is None else token + FLAT)
        await self._clickhouse.insert_pieces(FLAT_TABLES[topic], lambda: native_block(rows, flat), "Native", settings)

    async def _guarded(self, topic: str, own: Sequence[RawRow], insert: Callable[[], Awaitable[None]]) -> None:
        """Insert, and take back what a refused insert has let through to some targets."""
        try:
            await insert()
        except ClickHouseRejected as error:
            if PARSER in str(error):
                raise
            if error.code in DATA_CODES:
                await take_back(self._clickhouse, topic, own)
                raise
            remedy = "Run `incidentscope migrate`, and `incidentscope doctor` if that does not help."
            raise SetupError(f"ClickHouse does not take {topic}: {error}", remedy) from error

    async def is_whole(self, topic: str, rows: Sequence[RawRow]) -> bool:
        """Tell whether a repeated insert of these rows has reached every target; if not, none has them afterwards.

        They need another token then. Raises `StoreUnavailable`, also while an insert of them still runs.
        """
        return await is_whole(self._clickhouse, topic, rows)


class _Flattening:
    """Messages that are being flattened, in a thread."""

    def __init__(self, flatten: Flatten, values: list[bytes]) -> None:
        self._values = values
        self.done = asyncio.ensure_future(asyncio.to_thread(flatten, values))

    def is_of(self, values: Sequence[bytes]) -> bool:
        """Tell whether it is of these messages: the very objects, which is quick to tell."""
        return len(values) == len(self._values) and all(map(is_, values, self._values))


def _settings(token: str | None) -> dict[str, Any]:
    return _SETTINGS if token is None else _SETTINGS | {"insert_deduplication_token": token}
