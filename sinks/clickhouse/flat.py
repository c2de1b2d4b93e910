"""Rows that were flattened outside ClickHouse, as one block of its Native format (docs/adr/0027).

::

    number of columns, number of rows, then of each column: name, type, and its pieces one after the other
                                       (ClickHouse: src/Formats/NativeReader.cpp, and ISerialization of each type)

Types are those of the bytes; ClickHouse makes of them what the table has (``LowCardinality``) when it reads the block.
Only keys of attributes come as the table has them: a dictionary, and numbers.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.framing import LATEST_ARRIVAL_NS, RawRow, varint

_TEXTS: Final = "Map(LowCardinality(String), String)"
_TYPE: Final = (
    "Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7)"
)
_TYPES: Final = f"Map(LowCardinality(String), {_TYPE})"

COLUMN_TYPES: Final = {
    "service": "String",
    "resource_attributes": _TEXTS,
    "resource_attribute_types": _TYPES,
    "resource_schema_url": "String",
    "scope_name": "String",
    "scope_version": "String",
    "scope_attributes": _TEXTS,
    "scope_attribute_types": _TYPES,
    "scope_schema_url": "String",
    "trace_id": "FixedString(16)",
    "span_id": "FixedString(8)",
    "parent_span_id": "FixedString(8)",
    "trace_state": "String",
    "name": "String",
    "kind_code": "Int32",
    "start_unix_nano": "UInt64",
    "end_unix_nano": "UInt64",
    "attributes": _TEXTS,
    "attribute_types": _TYPES,
    "is_cut": "Bool",
    "dropped_attributes": "UInt32",
    "events": f"Array(Tuple(unix_nano UInt64, name String, attributes {_TEXTS}, attribute_types {_TYPES},"
    " dropped_attributes UInt32))",
    "dropped_events": "UInt32",
    "links": "Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32,"
    f" attributes {_TEXTS}, attribute_types {_TYPES}, dropped_attributes UInt32))",
    "dropped_links": "UInt32",
    "status_code": "Int32",
    "status_message": "String",
    "flags": "UInt32",
    "severity_number": "Int32",
    "severity_text": "String",
    "body": "String",
    "body_type": _TYPE,
    "event_name": "String",
    "unix_nano": "UInt64",
    "observed_unix_nano": "UInt64",
    "metric": "String",
    "description": "String",
    "unit": "String",
    "type": "Enum8('gauge' = 1, 'sum' = 2, 'histogram' = 3, 'exponential_histogram' = 4, 'summary' = 5)",
    "temporality": "Enum8('unspecified' = 0, 'delta' = 1, 'cumulative' = 2)",
    "is_monotonic": "Bool",
    "value": "Nullable(Float64)",
    "value_int": "Nullable(Int64)",
    "count": "UInt64",
    "sum": "Nullable(Float64)",
    "min": "Nullable(Float64)",
    "max": "Nullable(Float64)",
    "bounds": "Array(Float64)",
    "bucket_counts": "Array(UInt64)",
    "scale": "Int32",
    "zero_count": "UInt64",
    "zero_threshold": "Float64",
    "positive_offset": "Int32",
    "positive_counts": "Array(UInt64)",
    "negative_offset": "Int32",
    "negative_counts": "Array(UInt64)",
    "quantiles": "Array(Float64)",
    "quantile_values": "Array(Float64)",
    "exemplars": "Array(Tuple(unix_nano UInt64, value Nullable(Float64), value_int Nullable(Int64), trace_id String,"
    f" span_id String, attributes {_TEXTS}, attribute_types {_TYPES}))",
}

FLAT_TABLES: Final = {TRACES.name: "flat_spans", LOGS.name: "flat_logs", METRICS.name: "flat_points"}


class Flat(Protocol):
    """Rows of some messages."""

    @property
    def rows(self) -> Any:
        """How many each message has (an array of integers); 0: it must be landed as protobuf."""

    @property
    def columns(self) -> Mapping[str, Sequence[Any]]:
        """The pieces of each column (arrays of bytes)."""


class Flatten(Protocol):
    """Flattens messages of one signal."""

    def __call__(self, messages: Sequence[bytes]) -> Flat:
        """Return the rows of the messages."""


def native_block(rows: Sequence[RawRow], flat: Flat) -> Generator[bytes]:
    """Yield a block of all rows that ``flat`` has of these records, in pieces."""
    counts = np.asarray(flat.rows)
    columns = {**_of_records(rows, counts), **{name: (COLUMN_TYPES[name], each) for name, each in flat.columns.items()}}
    yield varint(len(columns)) + varint(int(counts.sum()))
    for name, (kind, pieces) in columns.items():
        yield varint(len(name)) + name.encode() + varint(len(kind)) + kind.encode()
        for piece in pieces:
            yield piece.tobytes()


def _of_records(rows: Sequence[RawRow], counts: Any) -> dict[str, tuple[str, Sequence[Any]]]:
    """Return the columns that all items of a record have the same."""
    tenants = [varint(len(tenant)) + tenant for tenant in (row.tenant.encode() for row in rows)]
    arrivals = np.array([min(max(row.arrival_ns, 0), LATEST_ARRIVAL_NS) for row in rows], np.int64)
    firsts = np.cumsum(counts) - counts
    items = np.arange(counts.sum()) - np.repeat(firsts, counts)
    of_tenants = b"".join(tenant * count for tenant, count in zip(tenants, counts.tolist(), strict=True))
    return {
        "tenant": ("String", [np.frombuffer(of_tenants, np.uint8)]),
        "kafka_partition": ("Int32", [np.repeat(np.array([row.partition for row in rows], np.int32), counts)]),
        "kafka_offset": ("Int64", [np.repeat(np.array([row.offset for row in rows], np.int64), counts)]),
        "item": ("UInt32", [items.astype(np.uint32)]),
        "record_items": ("UInt32", [np.where(items == 0, np.repeat(counts, counts), 0).astype(np.uint32)]),
        "arrival_unix_nano": ("Int64", [np.repeat(arrivals, counts)]),
    }
