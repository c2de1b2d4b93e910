"""OTLP messages as columns of flat rows, an item each, without touching an item in Python (docs/adr/0027).

::

    messages ─▶ joined, about 1 MiB at a time ─▶ flatten ─┬─▶ regions of one buffer ─▶ columns by name
                                      ▲ more room         └─▶ messages that are left alone: 0 rows
                                      └───────────┘

A column is what ClickHouse's Native format has of it, in pieces: an array or a map is the ends of its rows, then its
elements; keys of attributes are numbers of two bytes, behind the texts that these stand for (`_WITH_KEYS`). Which
messages are left alone is decided by the bytes of all that are flattened together, as long as there is room.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from schemas.topics import LOGS, METRICS, TRACES
from streams.kernels import flat_exemplars, flat_logs, flat_points, flat_scopes, flat_spans, flattening
from streams.kernels.compiled import IS_COMPILED
from streams.kernels.flat_attributes import KEYS, MAP_COLUMNS, TYPE_KEYS
from streams.kernels.flattening import flatten, make_scratch
from streams.kernels.interning import COUNT
from streams.kernels.keys import Keys, forget_keys
from streams.kernels.sheets import Sheet, keys_sheet, make_sheet, put_keys

Bytes = NDArray[np.uint8]
Sizes = NDArray[np.int64]
"""Bytes, of each column."""
_Grown = tuple[Sheet, Sizes]

JOINED_BYTES = 1 << 20
FIRST_BYTES = 64 << 10
"""Room of each column at first."""

MOST_BYTES = 512 << 20
"""A message for which all columns together would need more room than this is left alone."""


def _two_maps(name: str, first: SupportsIndex) -> dict[str, tuple[SupportsIndex, ...]]:
    places = range(first, int(first) + MAP_COLUMNS)
    return {f"{name}s": tuple(places[:3]), f"{name}_types": tuple(places[3:])}


_SURROUNDINGS = {
    "service": (flat_scopes.SERVICE,),
    **_two_maps("resource_attribute", flat_scopes.RESOURCE_MAPS),
    "resource_schema_url": (flat_scopes.RESOURCE_URL,),
    "scope_name": (flat_scopes.SCOPE_NAME,),
    "scope_version": (flat_scopes.SCOPE_VERSION,),
    **_two_maps("scope_attribute", flat_scopes.SCOPE_MAPS),
    "scope_schema_url": (flat_scopes.SCOPE_URL,),
}

SPAN_COLUMNS: Mapping[str, tuple[SupportsIndex, ...]] = {
    **_SURROUNDINGS,
    "trace_id": (flat_spans.TRACE_ID,),
    "span_id": (flat_spans.SPAN_ID,),
    "parent_span_id": (flat_spans.PARENT_ID,),
    "trace_state": (flat_spans.STATE,),
    "name": (flat_spans.NAME,),
    "kind_code": (flat_spans.KIND,),
    "start_unix_nano": (flat_spans.START,),
    "end_unix_nano": (flat_spans.FINISH,),
    "dropped_attributes": (flat_spans.DROPPED,),
    "dropped_events": (flat_spans.DROPPED_EVENTS,),
    "dropped_links": (flat_spans.DROPPED_LINKS,),
    "status_code": (flat_spans.STATUS_CODE,),
    "status_message": (flat_spans.STATUS_MESSAGE,),
    "flags": (flat_spans.FLAGS,),
    "is_cut": (flat_spans.CUT,),
    **_two_maps("attribute", flat_spans.MAPS),
    "events": (
        flat_spans.EVENT_ENDS, flat_spans.EVENT_TIME, flat_spans.EVENT_NAME,
        *range(flat_spans.EVENT_MAPS, flat_spans.EVENT_MAPS + MAP_COLUMNS), flat_spans.EVENT_DROPPED,
    ),
    "links": (
        flat_spans.LINK_ENDS, flat_spans.LINK_TRACE, flat_spans.LINK_SPAN, flat_spans.LINK_STATE, flat_spans.LINK_FLAGS,
        *range(flat_spans.LINK_MAPS, flat_spans.LINK_MAPS + MAP_COLUMNS), flat_spans.LINK_DROPPED,
    ),
}  # fmt: skip
"""The columns of a flat span, and the regions each is made of, in order."""

LOG_COLUMNS: Mapping[str, tuple[SupportsIndex, ...]] = {
    **_SURROUNDINGS,
    "trace_id": (flat_logs.TRACE_ID,),
    "span_id": (flat_logs.SPAN_ID,),
    "severity_number": (flat_logs.SEVERITY,),
    "severity_text": (flat_logs.SEVERITY_TEXT,),
    "body": (flat_logs.BODY,),
    "body_type": (flat_logs.BODY_TYPE,),
    "event_name": (flat_logs.EVENT_NAME,),
    "unix_nano": (flat_logs.TIME,),
    "observed_unix_nano": (flat_logs.OBSERVED,),
    "flags": (flat_logs.FLAGS,),
    **_two_maps("attribute", flat_logs.MAPS),
    "is_cut": (flat_logs.CUT,),
    "dropped_attributes": (flat_logs.DROPPED,),
}

POINT_COLUMNS: Mapping[str, tuple[SupportsIndex, ...]] = {
    **_SURROUNDINGS,
    "metric": (flat_points.METRIC,),
    "description": (flat_points.DESCRIPTION,),
    "unit": (flat_points.UNIT,),
    "type": (flat_points.TYPE,),
    "temporality": (flat_points.TEMPORALITY,),
    "is_monotonic": (flat_points.MONOTONIC,),
    "start_unix_nano": (flat_points.START,),
    "unix_nano": (flat_points.TIME,),
    "value": (flat_points.VALUE_NULL, flat_points.VALUE),
    "value_int": (flat_points.INT_NULL, flat_points.INT),
    "count": (flat_points.COUNT,),
    "sum": (flat_points.SUM_NULL, flat_points.SUM),
    "min": (flat_points.MIN_NULL, flat_points.MIN),
    "max": (flat_points.MAX_NULL, flat_points.MAX),
    "bounds": (flat_points.BOUND_ENDS, flat_points.BOUNDS),
    "bucket_counts": (flat_points.BUCKET_ENDS, flat_points.BUCKETS),
    "scale": (flat_points.SCALE,),
    "zero_count": (flat_points.ZERO_COUNT,),
    "zero_threshold": (flat_points.ZERO_THRESHOLD,),
    "positive_offset": (flat_points.POSITIVE_OFFSET,),
    "positive_counts": (flat_points.POSITIVE_ENDS, flat_points.POSITIVE),
    "negative_offset": (flat_points.NEGATIVE_OFFSET,),
    "negative_counts": (flat_points.NEGATIVE_ENDS, flat_points.NEGATIVE),
    "quantiles": (flat_points.QUANTILE_ENDS, flat_points.QUANTILES),
    "quantile_values": (flat_points.QUANTILE_ENDS, flat_points.QUANTILE_VALUES),
    "exemplars": (
        flat_exemplars.EXEMPLAR_ENDS, flat_exemplars.TIME, flat_exemplars.VALUE_NULL, flat_exemplars.VALUE,
        flat_exemplars.INT_NULL, flat_exemplars.INT, flat_exemplars.TRACE_ID, flat_exemplars.SPAN_ID,
        *range(flat_exemplars.MAPS, flat_exemplars.MAPS + MAP_COLUMNS),
    ),
    "flags": (flat_points.FLAGS,),
    **_two_maps("attribute", flat_points.MAPS),
    "is_cut": (flat_points.CUT,),
}  # fmt: skip

SIGNALS: Mapping[str, tuple[int, SupportsIndex, Mapping[str, tuple[SupportsIndex, ...]]]] = {
    TRACES.name: (flattening.SPANS, flat_spans.COLUMNS, SPAN_COLUMNS),
    LOGS.name: (flattening.LOGS, flat_logs.COLUMNS, LOG_COLUMNS),
    METRICS.name: (flattening.METRICS, flat_points.COLUMNS, POINT_COLUMNS),
}
"""By topic: what it is to `flatten`, how many regions it fills, and the columns they make."""

FLAT_TOPICS = tuple(SIGNALS)

_MAPS = (flat_scopes.RESOURCE_MAPS, flat_scopes.SCOPE_MAPS)
_KEY_REGIONS: Mapping[str, frozenset[int]] = {
    topic: frozenset(int(maps + keys) for maps in (*_MAPS, *own) for keys in (KEYS, TYPE_KEYS))
    for topic, own in (
        (TRACES.name, (flat_spans.MAPS, flat_spans.EVENT_MAPS, flat_spans.LINK_MAPS)),
        (LOGS.name, (flat_logs.MAPS,)),
        (METRICS.name, (flat_points.MAPS, flat_exemplars.MAPS)),
    )
}
"""By topic: the regions that have numbers of keys."""

_VERSION = np.array([1], "<u8").view(np.uint8)
_WITH_KEYS = 1 << 10 | 1 << 9 | 1
"""What ClickHouse calls a dictionary of its own, and indexes of 16 bits (src/DataTypes/Serializations/
SerializationLowCardinality.cpp); the version comes first in the column, once for each of its dictionaries."""


@dataclass(frozen=True)
class Flat:
    """The rows of some messages: ``rows`` of each (0: it is left alone), and the pieces of each column."""

    rows: NDArray[np.int64]
    columns: Mapping[str, Sequence[Bytes]]


def warm_up() -> None:
    """Compile what flattening needs, or load it where an earlier process kept it."""
    for topic in FLAT_TOPICS:
        Flattener(topic).flatten([b""])


class Flattener:
    """Flattens messages of one of the `FLAT_TOPICS`; one call at a time, the others wait."""

    def __init__(self, topic: str) -> None:
        self._signal, regions, self._names = SIGNALS[topic]
        self._key_regions = _KEY_REGIONS[topic]
        self._lock = threading.Lock()
        self._scratch = make_scratch()
        self._keys = self._scratch.shared.keys
        self._sizes: Sizes = np.full(regions, FIRST_BYTES)

    def flatten(self, messages: Sequence[bytes]) -> Flat:
        """Return the rows of those messages that can be read here."""
        rows = np.zeros(len(messages), np.int64)
        if not IS_COMPILED:
            return Flat(rows, {})
        with self._lock:
            return Flat(rows, self._columns(messages, rows))

    def _columns(self, messages: Sequence[bytes], rows: NDArray[np.int64]) -> Mapping[str, Sequence[Bytes]]:
        """Return the pieces of each column, and fill ``rows``."""
        forget_keys(self._keys)
        sheet, sizes, done = make_sheet(self._sizes, self._keys), self._sizes, 0
        while done < len(messages):
            end = _end_of_piece(messages, done)
            sheet, sizes = self._append(messages[done:end], rows[done:end], sheet, sizes)
            done = end
        begins = sheet.limits - sizes
        regions = [sheet.room[begin:end] for begin, end in zip(begins, sheet.used, strict=True)]
        self._sizes = np.maximum(FIRST_BYTES + (sheet.used - begins) * 5 // 4, self._sizes * 7 // 8)
        texts = _texts(self._keys)
        return {name: self._pieces(regions, places, texts) for name, places in self._names.items()}

    def _pieces(self, regions: Sequence[Bytes], places: Sequence[SupportsIndex], texts: Bytes) -> list[Bytes]:
        """Return what a column is made of."""
        numbers = self._key_regions.intersection(map(int, places))
        pieces = [_VERSION] * len(numbers)
        for place in map(int, places):
            if place in numbers and len(regions[place]):
                pieces += [texts, np.array([len(regions[place]) // 2], "<u8").view(np.uint8)]
            pieces.append(regions[place])
        return pieces

    def _append(self, messages: Sequence[bytes], rows: NDArray[np.int64], sheet: Sheet, sizes: Sizes) -> _Grown:
        """Append messages, making room where there is none; return the sheet that has them and its sizes."""
        data = np.frombuffer(b"".join(messages), np.uint8)
        bounds, done = np.cumsum([0, *map(len, messages)]), 0
        while (done := int(flatten(data, bounds, done, self._signal, sheet, self._scratch, rows))) < len(messages):
            wanted = self._scratch.wanted[: len(sizes)]
            if wanted.sum() > MOST_BYTES:
                done += 1
            else:
                larger = _larger(sheet.used - sheet.limits + sizes, wanted, sizes)
                sheet, sizes = _moved(sheet, sizes, larger), larger
        return sheet, sizes


def _larger(used: Sizes, wanted: Sizes, sizes: Sizes) -> Sizes:
    """Return sizes with room for twice what is there and for what is wanted, in those columns that lack room."""
    return np.where(sizes - used < wanted, 2 * used + wanted * 5 // 4 + FIRST_BYTES, sizes)


def _moved(sheet: Sheet, sizes: Sizes, larger: Sizes) -> Sheet:
    """Return a sheet with regions of other sizes, and the same in it."""
    made = make_sheet(larger, sheet.keys, is_sparse=True)  # a column that may need much for an item seldom does
    for column, (begin, end) in enumerate(zip(sheet.limits - sizes, sheet.used, strict=True)):
        made.room[made.used[column] : made.used[column] + end - begin] = sheet.room[begin:end]
        made.used[column] += end - begin
    made.items[:] = sheet.items
    return made


def _texts(keys: Keys) -> Bytes:
    """Return what stands before numbers of keys: the texts that they mean."""
    sheet = keys_sheet(keys)
    put_keys(sheet, 0)
    head = np.array([_WITH_KEYS, keys.table.totals[COUNT]], "<u8").view(np.uint8)
    return np.concatenate((head, sheet.room[: sheet.used[0]]))


def _end_of_piece(messages: Sequence[bytes], first: int) -> int:
    """Return the end of some messages that together are about as large as is joined at once."""
    end, size_bytes = first, 0
    while end < len(messages) and size_bytes < JOINED_BYTES:
        size_bytes += len(messages[end])
        end += 1
    return end
