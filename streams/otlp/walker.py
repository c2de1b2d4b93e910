"""Decode many traces requests at once, in compiled code: the fast way to what `decode_spans` gives for each.

::

    payloads ─▶ joined ─▶ walk_spans ─┬─▶ columns of the sound messages, names interned from batch to batch
                          │           └─▶ the others, one by one: decode_spans says why, or knows better
                          └─ events that may be exceptions: opened one by one

A message that the walker refuses, and one of which no item is good, goes to `decode_spans`: that is rare, and keeps
the words for what is refused in one place. Where nothing can be compiled, every message goes there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.crowding import MOST_REPEATED_BYTES
from schemas.errors import BadPayload, RejectReason
from streams.grouping import groups_of
from streams.kernels.compiled import IS_COMPILED
from streams.kernels.interning import FULL
from streams.kernels.spans import (
    ASK,
    COLUMNS,
    EVENTS,
    REJECTS,
    ROWS,
    SPAN_ID,
    TRACE_HI,
    SpanTable,
    make_scratch,
    walk_spans,
)
from streams.mixing import hashes_of
from streams.otlp.columns import MAX_ITEMS, MAX_RESOURCES, SPAN_DTYPES, PeerKind, Reject, Signal, SpanColumns
from streams.otlp.decoding import Decoded, decode_one
from streams.otlp.lexicon import Lexicon
from streams.otlp.lines import LineReader
from streams.otlp.repeating import LITTLE_BYTES, check_repeated, repeated_bytes
from streams.otlp.spans import BAD_IDS, decode_spans

JOINED_BYTES = 512 << 10
"""About so many bytes are walked at once, so that they are still in the processor's cache when they are."""

ALONE_BYTES = 64 << 10
"""A message of so many bytes is walked where it is: joining it would cost more than a call of its own."""

MAX_ROWS = 65_536
"""About so many spans are given out as one piece."""

MAX_LEXICON_BYTES = 8 << 20
"""A lexicon that has become larger is left to its columns, and a new one begun."""

_FIRST_ROWS, _FIRST_REJECTS, _FIRST_EVENTS = 16_384, 1_024, 1_024
_TRACE_BYTES = 16
_NAMED = ("service", "operation", "instance", "version", "peer")


def warm_up() -> None:
    """Compile what decoder and folds need, or load it where an earlier process kept it: half a minute, or a second."""
    list(SpanDecoder().decode([b""]))
    Lexicon().grow()
    groups_of(np.zeros(1, np.int64))
    hashes_of("", *np.zeros((4, 1), np.uint64))


class SpanDecoder:
    """Decodes traces requests (a `Decoder`)."""

    def __init__(self, is_compiled: bool = IS_COMPILED) -> None:
        self._is_compiled = is_compiled
        self._lexicon = Lexicon()
        self._table = _span_table(_FIRST_ROWS, _FIRST_REJECTS, _FIRST_EVENTS)
        self._reader = LineReader()
        self._scratch = make_scratch()

    def decode(self, payloads: Sequence[bytes]) -> Iterator[Decoded[SpanColumns]]:
        """Decode messages; yields what they came to, in their order, in one piece or more."""
        done = 0
        while self._is_compiled and done < len(payloads):
            status, sizes, repeated = self._walk(payloads[done:])
            yield from self._pieces(payloads, done, status, sizes, repeated)
            done += len(status)
        for number in range(done, len(payloads)):
            yield _alone(payloads[number], number)

    def _walk(self, payloads: Sequence[bytes]) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
        """Walk messages until there are many rows; return status, rows and repeated bytes of each that was walked."""
        if self._lexicon.size_bytes > MAX_LEXICON_BYTES:
            self._lexicon = Lexicon()
        self._table.totals[:] = 0
        self._reader = LineReader()
        status, (sizes, repeated) = np.zeros(len(payloads), np.int8), np.zeros((2, len(payloads)), np.int64)
        sizes_bytes, done = np.fromiter(map(len, payloads), np.int64, len(payloads)), 0
        while done < len(payloads) and self._table.totals[ROWS] < MAX_ROWS:
            end = done + _joined_at_once(sizes_bytes[done:])
            data = np.frombuffer(b"".join(payloads[done:end]), np.uint8)  # of one message: the message itself
            bounds = np.concatenate(([0], np.cumsum(sizes_bytes[done:end])))
            self._walk_joined(data, bounds, done, status[done:end], sizes[done:end], repeated[done:end])
            done = end
        self._lexicon.settle()
        return status[:done], sizes[:done], repeated[:done]

    def _walk_joined(
        self,
        data: NDArray[np.uint8],
        bounds: NDArray[np.int64],
        number: int,
        status: NDArray[np.int8],
        sizes: NDArray[np.int64],
        repeated: NDArray[np.int64],
    ) -> None:
        """Walk joined messages, of which the first has this number, making room where there is none."""
        done, found, most = 0, (status, sizes, repeated), (MAX_ITEMS, MAX_RESOURCES, MOST_REPEATED_BYTES)
        while done < len(status):
            tables = (self._table, self._lexicon.table, self._scratch)
            done = walk_spans(data, bounds, done, number, *tables, *found, *most)
            if done < len(status) and status[done] == FULL:
                self._lexicon.grow()
            elif done < len(status):
                self._table = _longer(self._table)
        self._read_events(data)

    def _read_events(self, data: NDArray[np.uint8]) -> None:
        """Open the events that were noted, while the data is there."""
        table, last = self._table, -1
        for message, row, begin, end in table.events[: table.totals[EVENTS]].tolist():
            if message != last:
                self._reader.next_message()
                last = message
            ids = table.columns[TRACE_HI : SPAN_ID + 1, row].astype(">i8").tobytes()
            self._reader.add_event(row, data[begin:end].tobytes(), ids[:_TRACE_BYTES], ids[_TRACE_BYTES:])
        table.totals[EVENTS] = 0

    def _pieces(
        self,
        payloads: Sequence[bytes],
        first: int,
        status: NDArray[np.int8],
        sizes: NDArray[np.int64],
        repeated: NDArray[np.int64],
    ) -> Iterator[Decoded[SpanColumns]]:
        """Give out what is in the table, and between it what `decode_spans` accepts though the walker did not."""
        ends, begin, rejects, signed = np.cumsum([0, *sizes]), 0, self._rejects(first), self._reader.rows()
        for number in (*np.flatnonzero(status == ASK).tolist(), len(status)):
            place, is_end = first + number, number == len(status)
            answer = Decoded[SpanColumns]() if is_end else _alone(payloads[place], place)
            if is_end or answer.messages:
                full = np.flatnonzero(sizes[begin:number]) + begin
                rows = self._columns(ends[begin], ends[number]) if len(full) else None
                if rows is not None:
                    rows.signed = signed.part(ends[begin], ends[number])
                much = np.flatnonzero(repeated[begin:number] >= LITTLE_BYTES) + begin
                counted = list(zip((much + first).tolist(), repeated[much].tolist(), strict=True))
                yield Decoded(rows, (full + first).tolist(), sizes[full].tolist(), rejects, repeated=counted)
                begin, rejects = number + 1, []
            yield answer

    def _columns(self, begin: int, end: int) -> SpanColumns:
        """Return some rows of the table as columns of their own."""
        rows, names = self._table.columns[:, begin:end], self._lexicon
        read: dict[str, Any] = {n: _as(dtype, row) for row, (n, dtype) in zip(rows, SPAN_DTYPES.items(), strict=True)}
        repaired = names.repaired(read["operation"])
        truncated = sum([names.truncated(read[name]) for name in _NAMED])
        read |= {name: names.places(read[name]) for name in _NAMED}
        columns = SpanColumns(**read, names=names.texts, repaired=repaired, truncated=truncated)
        columns.peer_kind[columns.peer < 0] = PeerKind.NONE  # of a URL without a host
        return columns

    def _rejects(self, first: int) -> list[tuple[int, Reject]]:
        found = self._table.rejects[: self._table.totals[REJECTS]].tolist()
        return [(first + message, Reject(item, RejectReason.BAD_ID, BAD_IDS[why])) for message, item, why in found]


def _alone(payload: bytes, number: int) -> Decoded[SpanColumns]:
    """Decode one message by `decode_spans`, unless what its items share is too much."""
    repeated = repeated_bytes(Signal.TRACES, payload)
    try:
        check_repeated(repeated)
    except BadPayload as error:
        return Decoded(refused=[(number, error)])
    decoded = decode_one(decode_spans, payload, number)
    decoded.repeated = [(number, repeated)]
    return decoded


def _joined_at_once(sizes_bytes: NDArray[np.int64]) -> int:
    """Return how many messages, of which there is one at least, are walked at once."""
    large = np.flatnonzero(sizes_bytes >= ALONE_BYTES)
    small = int(large[0]) if len(large) else len(sizes_bytes)
    enough = int(np.searchsorted(np.cumsum(sizes_bytes[:small]), JOINED_BYTES)) + 1
    return max(1, min(small, enough))


def _span_table(rows: int, rejects: int, events: int) -> SpanTable:
    return SpanTable(
        np.zeros((COLUMNS, rows), np.int64),
        np.zeros((rejects, 3), np.int32),
        np.zeros((events, 4), np.int64),
        np.zeros(3, np.int64),
    )


def _longer(table: SpanTable) -> SpanTable:
    """Return a table with room for twice as much, and the same in it."""
    rows, rejects, events = table.columns.shape[1], len(table.rejects), len(table.events)
    twice = _span_table(2 * rows, 2 * rejects, 2 * events)
    twice.columns[:, :rows], twice.rejects[:rejects], twice.events[:events], twice.totals[:] = table
    return twice


def _as(dtype: type, row: NDArray[np.int64]) -> NDArray[np.generic]:
    """Return a row of the table as a column of its type, always a copy."""
    return row.copy().view(dtype) if np.dtype(dtype).itemsize == 8 else row.astype(dtype)
