"""Read the line of a log record or of an exception: what its signature is made of.

Only records of some severity and span events named ``exception`` are looked at, so this may take microseconds an item.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from streams.otlp.attributes import read_attributes
from streams.otlp.columns import Line, SignedRows
from streams.otlp.slim import AnyValue, Event, KeyValue, KeyValueList
from streams.signatures.exceptions import exception_shape, known_as, looks_like_stack, type_in_stack
from streams.signatures.masking import MAX_LINE, shape_of

MAX_LINES = 5_000
"""Lines of one message that signatures are made of; the rest is counted, but not read."""

EXCEPTION_EVENT = b"exception"
"""The name of a span event that tells of an exception (OpenTelemetry semantic conventions, "Exceptions on spans")."""

EXCEPTION_KEYS = frozenset((b"exception.type", b"exception.message", b"exception.stacktrace"))
_MESSAGE_KEYS = ("message", "msg", "log", "event", "error", "err", "body")
_MAX_DOCUMENT = 65_536


class LineReader:
    """Collects the lines of one message, or of several one after the other; equal texts share one."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._numbers: list[int] = []
        self._trace_ids: list[bytes] = []
        self._marks: list[int] = []
        self._lines: dict[Line, int] = {}
        self._unread: list[int] = []
        self._full_at = MAX_LINES

    def is_full(self) -> bool:
        """Tell whether the message has had its share."""
        return len(self._rows) >= self._full_at

    def next_message(self) -> None:
        """Let the next message have a share of its own."""
        self._full_at = len(self._rows) + MAX_LINES

    def add_record(
        self, row: int, body: bytes, attributes: Sequence[bytes], trace_id: bytes, span_id: bytes = b""
    ) -> None:
        """Take a log record: its body (an ``AnyValue``) and its attributes (``KeyValue`` messages) as on the wire."""
        if not self._add_exception(row, attributes, trace_id, span_id):
            line = _line_of(_text_of(body))
            if line is not None:
                self._add(row, line, trace_id)

    def add_event(self, row: int, raw: bytes, trace_id: bytes, span_id: bytes) -> None:
        """Take a span event (an ``Event`` as on the wire); what is no exception is passed over."""
        try:
            event = Event.FromString(raw)
        except DecodeError:
            return
        if event.name != EXCEPTION_EVENT:
            return
        if self.is_full():
            self._unread.append(row)
        else:
            self._add_exception(row, event.attributes, trace_id, span_id)

    def _add_exception(self, row: int, attributes: Iterable[bytes], trace_id: bytes, span_id: bytes) -> bool:
        """Take the exception that attributes tell of; return whether they do."""
        found = _exception_of(attributes)
        if found is not None:
            name, line = found
            self._add(row, line, trace_id, mark_of(trace_id, span_id, name))
        return found is not None

    def _add(self, row: int, line: Line, trace_id: bytes, mark: int = 0) -> None:
        self._rows.append(row)
        self._numbers.append(self._lines.setdefault(line, len(self._lines)))
        self._trace_ids.append(trace_id)
        self._marks.append(mark)

    def rows(self) -> SignedRows:
        """Return what was collected."""
        row, line = np.array(self._rows, dtype=np.int32), np.array(self._numbers, dtype=np.int32)
        mark = np.array(self._marks, dtype=np.uint64)
        unread = np.array(self._unread, dtype=np.int32)
        return SignedRows(row, line, mark, self._trace_ids, list(self._lines), unread)


def mark_of(trace_id: bytes, span_id: bytes, type_name: str) -> int:
    """Return what an exception of a span is known by wherever it is told of; 0 when nobody says of which span it is."""
    if not (any(trace_id) and any(span_id)):
        return 0
    digest = blake2b(trace_id + span_id + type_name.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _exception_of(attributes: Iterable[bytes]) -> tuple[str, Line] | None:
    """Return type and line of the exception in attributes (OpenTelemetry semantic conventions, "Exceptions")."""
    found = read_attributes(attributes, EXCEPTION_KEYS)
    name, stack = found.get("exception.type", ""), found.get("exception.stacktrace", "")
    if not name and not stack:
        return None
    name = name or type_in_stack(stack)
    text = ": ".join(filter(None, (name, found.get("exception.message", ""))))
    return known_as(name, stack), Line("exception", exception_shape(name, stack), text[:MAX_LINE])


def _line_of(text: str) -> Line | None:
    text = text.strip()
    if not text:
        return None
    if looks_like_stack(text):
        return Line("exception", exception_shape(type_in_stack(text), text), text[:MAX_LINE])
    first, _, _ = text.partition("\n")
    return Line("log", shape_of(first), text[:MAX_LINE])


def _text_of(body: bytes) -> str:
    """Return the message of a body: a text, a text that holds JSON, or a map."""
    try:
        value = AnyValue.FromString(body)
    except DecodeError:
        return ""
    if value.kvlist_value:
        return _message_in(_pairs(value.kvlist_value))
    text = str(value.string_value.decode(errors="replace"))
    if text.startswith("{") and len(text) <= _MAX_DOCUMENT:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return _message_in(document) if isinstance(document, dict) else text
    return text


def _pairs(raw: bytes) -> dict[str, Any]:
    """Return the texts of a map, one level deep."""
    try:
        pairs = [KeyValue.FromString(pair) for pair in KeyValueList.FromString(raw).values]
    except DecodeError:
        return {}
    return {pair.key.decode(errors="replace"): pair.value.string_value.decode(errors="replace") for pair in pairs}


def _message_in(document: dict[str, Any]) -> str:
    """Return the field of a document that is meant to be read; of one without, its keys."""
    for key in _MESSAGE_KEYS:
        text = document.get(key)
        if isinstance(text, str) and text:
            return text
    return " ".join(f"{key}=" for key in sorted(document))
