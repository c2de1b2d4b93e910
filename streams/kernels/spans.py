"""Walk the bytes of many ``ExportTraceServiceRequest`` messages and put their spans into columns.

::

    message ─▶ list ─▶ scope ─▶ span ─▶ a row, or a reject
       │           └─ resource: service, instance, version, tier, once a list
       └─ malformed, or suspicious as a whole: its rows are taken back, and somebody else is asked about it

Message by message: what is wrong with one costs the others nothing. Events of spans that may be exceptions are only
noted: they are rare, and read elsewhere. Field numbers are those of opentelemetry-proto 1.x, trace.proto.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels import peers, people
from streams.kernels.attributes import BEGIN, END, NUMBER, find_key, keys_of, read_attribute, read_attributes
from streams.kernels.compiled import compiled, inlined
from streams.kernels.events import may_be_exception
from streams.kernels.interning import FULL, intern
from streams.kernels.peers import BUFFER_BYTES, NAME_BYTES, NONE, PEER_KEYS, TEXT, append_number, compose_peer
from streams.kernels.people import PEOPLE_KEYS, person_of
from streams.kernels.wire import (
    FIXED64,
    GROUP_MET,
    SIZED,
    VARINT,
    big_endian,
    byte_at,
    little_endian,
    read_size,
    read_tag,
    read_varint,
    skip_alike,
    skip_value,
)

OK, ASK, NO_ROWS = 0, 1, -4
"""What became of a message: its rows are there; ask the reference decoder; there is no room for all of it in the
table, or (`FULL`) in the intern table."""

BAD_TRACE, BAD_SPAN, BAD_PARENT = 1, 2, 3
"""Why a span was rejected."""

CLAMPED, NEGATIVE, UNKNOWN_KIND = 1, 2, 4
"""As `streams.otlp.columns.SpanFlag`."""

UNKNOWN_SERVICE = 0
"""The number of the first string in the intern table, by agreement."""

ROWS, REJECTS, EVENTS = 0, 1, 2
"""Places in ``SpanTable.totals``."""

(TRACE_HI, TRACE_LO, SPAN_ID, PARENT_ID, SERVICE, OPERATION, INSTANCE, VERSION, PEER, PEER_KIND, KIND, ERROR, START_NS,
 END_NS, FLAGS, TIER, PERSON) = range(17)  # fmt: skip
"""Columns of ``SpanTable.columns``, as `streams.otlp.columns.SpanColumns` has them."""

COLUMNS = 17

_NAME_KEY, _INSTANCE_KEY, _POD_KEY, _HOST_KEY, _TIER_KEY = np.array([0, 1, 3, 4, 5])
_ZERO = np.int64(0)
_RESOURCE_KEYS = (
    "service.name", "service.instance.id", "service.version", "k8s.pod.name", "host.name", "service.criticality",
)  # fmt: skip
_KEYS = keys_of((*_RESOURCE_KEYS, *PEER_KEYS, *PEOPLE_KEYS))
_TIERS = keys_of(("low", "medium", "high", "critical"))

# Levels of nesting, and the tags of what begins the next one.
_MESSAGE, _LIST, _SCOPE = np.arange(3)
_LISTS, _INNER, _RESOURCE, _RESOURCE_ATTRIBUTES = np.array([0x0A, 0x12, 0x0A, 0x0A])

# Fields of a span.
_TRACE, _ID, _PARENT, _NAME, _KIND, _START, _END, _ATTRIBUTES, _EVENTS, _STATUS = 1, 2, 4, 5, 6, 7, 8, 9, 11, 15
_MASK = 0  # no field: where the mask of found attributes is kept
_SPAN_FIELDS = 16
_ATTRIBUTES_TAG = np.int64(_ATTRIBUTES << 3 | SIZED)
_KIND_TAG, _START_TAG, _END_TAG = _KIND << 3 | VARINT, _START << 3 | FIXED64, _END << 3 | FIXED64
_STATUS_CODE, _STATUS_ERROR = 0x18, 2

_SERVER, _FIRST_CALLING_KIND, _KINDS = 2, 3, 6
_INT64_MAX = (1 << 63) - 1
_INT32 = np.uint64(0xFFFFFFFF)


class SpanTable(NamedTuple):
    """Room for spans, a column a field; for rejects: rows of (message, item, why); and for events that may be
    exceptions: rows of (message, row of the span, begin, end).

    Names are numbers of the intern table, -1 is none.
    """

    columns: NDArray[np.int64]
    rejects: NDArray[np.int32]
    events: NDArray[np.int64]
    totals: NDArray[np.int64]


class Scratch(NamedTuple):
    """Room that each message uses again."""

    ends: NDArray[np.int64]
    """Where each open level ends."""
    counts: NDArray[np.int64]
    span: NDArray[np.int64]
    """By field number: where a sized field of the span begins and ends; the value of a number."""
    resource: NDArray[np.int64]
    peer: NDArray[np.int64]
    """Attributes found."""
    buffer: NDArray[np.uint8]
    """A name being composed."""


(_ITEMS, _RESOURCES, _ITEMS_BEFORE, _ROWS_BEFORE, _REPEATED, _LIST_BYTES, _SCOPES, _SCOPE_BYTES,
 _ITEMS_BEFORE_SCOPE) = range(9)  # fmt: skip
"""Places in ``Scratch.counts``: of the message so far, and when its open resource list began; then what
`streams.kernels.repeating` counts, here on the way: of the message, and what is the open list's and scope's own."""


def make_scratch() -> Scratch:
    """Return such room; compiled code allocates nothing (`streams.kernels.compiled`)."""
    keys = len(_KEYS.ends)
    return Scratch(
        np.zeros(3, dtype=np.int64),
        np.zeros(9, dtype=np.int64),
        np.zeros((_SPAN_FIELDS, 3), dtype=np.int64),
        np.zeros((keys, 3), dtype=np.int64),
        np.zeros((keys, 3), dtype=np.int64),
        np.zeros(BUFFER_BYTES, dtype=np.uint8),
    )


@compiled
def walk_spans(
    data, bounds, first, number, table, names, scratch, status, sizes, repeated, max_items, max_resources, max_repeated
):
    """Read messages ``first`` and later; message m is ``data[bounds[m]:bounds[m + 1]]``, in rejects ``number + m``.

    Fills ``status``, ``sizes`` (rows) and ``repeated`` (bytes) of each message and returns how many of all messages are
    done: less than there are when there is no room for the next one, whose status says where.
    """
    for message in range(first, len(bounds) - 1):
        rows, rejects, events = table.totals[ROWS], table.totals[REJECTS], table.totals[EVENTS]
        outcome = _walk_message(data, bounds[message], bounds[message + 1], number + message, table, names, scratch)
        items, taken = scratch.counts[_ITEMS], table.totals[ROWS] - rows
        repeated[message] = scratch.counts[_REPEATED]
        is_odd = items > max_items or scratch.counts[_RESOURCES] > max_resources or (items > 0 and taken == 0)
        is_odd = is_odd or repeated[message] > max_repeated
        sizes[message], status[message] = taken, OK
        if outcome < 0 or is_odd:
            table.totals[ROWS], table.totals[REJECTS], table.totals[EVENTS] = rows, rejects, events
            sizes[message], status[message] = 0, ASK
        if outcome == FULL or outcome == NO_ROWS:
            status[message] = outcome
            return message
    return len(bounds) - 1


@compiled
def _walk_message(data, at, end, message, table, names, scratch):
    """Return where reading ended, or what was wrong."""
    level, ends = _MESSAGE, scratch.ends
    ends[_MESSAGE] = end
    scratch.counts[:] = 0
    while at >= 0 and (level > _MESSAGE or at < end):
        if at == ends[level]:
            if level == _LIST:
                at = _close_list(data, at, table, names, scratch)
            else:
                _close_scope(scratch)
            level -= 1
            continue
        field = at
        tag, at = read_tag(data, at, ends[level])
        if at < 0:
            return at
        if tag & 7 != SIZED:
            at = skip_value(data, at, ends[level], tag)
            continue
        begin, at = read_size(data, at, ends[level])
        if at < 0:
            return at
        if level == _SCOPE and tag == _INNER:
            scratch.counts[_SCOPE_BYTES] -= at - field
            at = _read_span(data, begin, at, message, table, scratch)
            if at >= 0:
                at = _take_span(data, at, message, table, names, scratch)
        elif tag == (_LISTS if level == _MESSAGE else _INNER):
            level += 1
            ends[level] = at
            if level == _LIST:
                _open_list(table, scratch, at - begin)
            else:
                _open_scope(scratch, at - begin, at - field)
            at = begin
        elif level == _LIST and tag == _RESOURCE:
            at = _read_resource(data, begin, at, scratch)
    return at


@compiled
def _read_resource(data, at, end, scratch):
    """Note the attributes of a resource; of several resources in one list all are taken, as protobuf merges them."""
    at, _ = read_attributes(_KEYS, _NAME_KEY, _TIER_KEY, _RESOURCE_ATTRIBUTES, data, at, end, scratch.resource)
    return at


@compiled
def _open_list(table, scratch, size_bytes):
    scratch.resource[:] = 0
    scratch.counts[_LIST_BYTES], scratch.counts[_SCOPES] = size_bytes, 0
    scratch.counts[_ITEMS_BEFORE], scratch.counts[_ROWS_BEFORE] = scratch.counts[_ITEMS], table.totals[ROWS]


@inlined
def _open_scope(scratch, size_bytes, field_bytes):
    scratch.counts[_LIST_BYTES] -= field_bytes
    scratch.counts[_SCOPES] += 1
    scratch.counts[_SCOPE_BYTES], scratch.counts[_ITEMS_BEFORE_SCOPE] = size_bytes, scratch.counts[_ITEMS]


@inlined
def _close_scope(scratch):
    items = scratch.counts[_ITEMS] - scratch.counts[_ITEMS_BEFORE_SCOPE]
    scratch.counts[_REPEATED] += scratch.counts[_SCOPE_BYTES] * items


@compiled
def _close_list(data, at, table, names, scratch):
    """Give the spans of a list the names of its resource; return ``at``, or `FULL`."""
    counts = scratch.counts
    counts[_REPEATED] += counts[_LIST_BYTES] * (counts[_ITEMS] - counts[_ITEMS_BEFORE] + counts[_SCOPES])
    if counts[_ITEMS] == counts[_ITEMS_BEFORE]:
        return at
    counts[_RESOURCES] += 1
    return _name_rows(data, at, counts[_ROWS_BEFORE], table, names, scratch)


@inlined
def _read_span(data, at, end, message, table, scratch):
    """Note where the sized fields of a span are, and its numbers; the last of equal ones counts. Return ``end``.

    Attributes are looked at when the kind says that somebody was called, or calls; it comes before them by its field
    number.
    """
    span, mask = scratch.span, np.int64(0)
    span[:] = 0
    while at < end:
        field_begin = at
        tag, at = read_tag(data, at, end)
        if at < 0:
            return at
        field = tag >> 3
        if tag & 7 == SIZED:
            begin, at = read_size(data, at, end)
            if at >= 0 and field == _ATTRIBUTES:
                if span[_KIND, NUMBER] >= _SERVER:
                    at, mask = read_attribute(_KEYS, peers.FIRST, people.LAST, data, begin, at, scratch.peer, mask)
                else:
                    if span[_ATTRIBUTES, END] == 0:
                        span[_ATTRIBUTES, BEGIN], span[_ATTRIBUTES, END] = field_begin, at
                    at = skip_alike(data, at, end, _ATTRIBUTES_TAG)
            elif at >= 0 and field == _EVENTS:
                at = _note_event(data, begin, at, message, table, span)
            elif field < _SPAN_FIELDS:
                span[field, BEGIN], span[field, END] = begin, at
        elif (tag == _START_TAG or tag == _END_TAG) and end - at >= 8:
            span[field, NUMBER] = np.int64(little_endian(data, at))
            at += 8
        elif tag == _KIND_TAG:
            kind, at = read_varint(data, at, end)
            span[_KIND, NUMBER] = np.int32(np.uint32(kind & _INT32))
        else:
            at = skip_value(data, at, end, tag)
        if at < 0:
            return at
    span[_MASK, NUMBER] = mask
    return at


@compiled
def _note_event(data, at, end, message, table, span):
    """Note an event that may be an exception, and how many its span has; return ``end``, or `NO_ROWS`."""
    if not may_be_exception(data, at, end):
        return end
    place = table.totals[EVENTS]
    if place >= len(table.events):
        return np.int64(NO_ROWS)
    table.events[place, 0], table.events[place, 1] = message, table.totals[ROWS]
    table.events[place, 2], table.events[place, 3] = at, end
    table.totals[EVENTS] = place + 1
    span[_EVENTS, NUMBER] += 1
    return end


@compiled
def _name_rows(data, at, first_row, table, names, scratch):
    """Write a resource's names to the rows of its spans; return ``at``, or `FULL`."""
    last_row, found = table.totals[ROWS], scratch.resource
    for key in range(3):
        place = _place_of_instance(found) if key == _INSTANCE_KEY else np.int64(key)
        begin, end, number = found[place, BEGIN], found[place, END], found[place, NUMBER]
        interned = np.int64(UNKNOWN_SERVICE if key == 0 else -1)
        if begin != end:
            interned = intern(names, data, begin, min(end, begin + NAME_BYTES), TEXT)
        elif number != 0:
            interned = intern(names, scratch.buffer, _ZERO, append_number(scratch.buffer, _ZERO, number), TEXT)
        if interned == FULL:
            return interned
        column = SERVICE if key == 0 else INSTANCE if key == 1 else VERSION
        table.columns[column, first_row:last_row] = interned
    tier = find_key(_TIERS, data, found[_TIER_KEY, BEGIN], found[_TIER_KEY, END])
    table.columns[TIER, first_row:last_row] = tier + 1
    return at


@compiled
def _place_of_instance(found):
    """Return where the resource says which instance it is: its id, else its pod, else its host."""
    for place in (_INSTANCE_KEY, _POD_KEY):
        if found[place, BEGIN] != found[place, END] or found[place, NUMBER] != 0:
            return place
    return _HOST_KEY


@inlined
def _take_span(data, end, message, table, names, scratch):
    """Write a row or a reject for the span in ``scratch``, which ends at ``end``."""
    span, row, item = scratch.span, table.totals[ROWS], scratch.counts[_ITEMS]
    scratch.counts[_ITEMS] = item + 1
    if row >= table.columns.shape[1] or table.totals[REJECTS] >= len(table.rejects):
        return np.int64(NO_ROWS)
    why = _write_ids(data, span, table.columns, row)
    if why != 0:
        reject = table.totals[REJECTS]
        table.rejects[reject, 0], table.rejects[reject, 1], table.rejects[reject, 2] = message, item, why
        table.totals[REJECTS] = reject + 1
        table.totals[EVENTS] -= span[_EVENTS, NUMBER]
        return end
    begin = span[_NAME, BEGIN]
    operation = intern(names, data, begin, min(span[_NAME, END], begin + NAME_BYTES), TEXT)
    outcome = _read_deferred(data, end, scratch)
    if outcome < 0:
        return outcome
    peer_kind, peer = _peer_of(data, names, scratch)
    if operation == FULL or peer == FULL:
        return np.int64(FULL)
    table.columns[OPERATION, row], table.columns[PEER, row], table.columns[PEER_KIND, row] = operation, peer, peer_kind
    failed = _is_error(data, span[_STATUS, BEGIN], span[_STATUS, END])
    if failed < 0:
        return failed
    table.columns[ERROR, row] = failed
    table.columns[PERSON, row] = _person_of(data, scratch)
    _write_kind_and_times(span, table.columns, row)
    table.totals[ROWS] = row + 1
    return end


@inlined
def _write_ids(data, span, columns, row):
    """Write the ids of a span; return why it is rejected, or 0."""
    if span[_TRACE, END] - span[_TRACE, BEGIN] != 16:
        return BAD_TRACE
    high, low = big_endian(data, span[_TRACE, BEGIN]), big_endian(data, span[_TRACE, BEGIN] + 8)
    if high == 0 and low == 0:
        return BAD_TRACE
    if span[_ID, END] - span[_ID, BEGIN] != 8:
        return BAD_SPAN
    own, parent = big_endian(data, span[_ID, BEGIN]), np.uint64(0)
    if own == 0:
        return BAD_SPAN
    parent_bytes = span[_PARENT, END] - span[_PARENT, BEGIN]
    if parent_bytes == 8:
        parent = big_endian(data, span[_PARENT, BEGIN])
    elif parent_bytes != 0:
        return BAD_PARENT
    columns[TRACE_HI, row], columns[TRACE_LO, row] = np.int64(high), np.int64(low)
    columns[SPAN_ID, row], columns[PARENT_ID, row] = np.int64(own), np.int64(parent)
    return 0


@inlined
def _calls(span):
    """Tell whether the span may have called somebody: one without a kind may have, too (`streams.families`)."""
    return span[_KIND, NUMBER] >= _FIRST_CALLING_KIND or span[_KIND, NUMBER] == 0


@inlined
def _may_name_person(span):
    """Tell whether a span is asked who it was for: where a trace begins, and where a service is called."""
    return span[_PARENT, END] == span[_PARENT, BEGIN] or span[_KIND, NUMBER] == _SERVER


@inlined
def _read_deferred(data, end, scratch):
    """Read the attributes that were passed over before it was known whether they matter; return where it ended."""
    span, at = scratch.span, end
    if span[_ATTRIBUTES, END] == 0 or not (_calls(span) or _may_name_person(span)):
        return at
    first = peers.FIRST if _calls(span) else people.FIRST
    begin = span[_ATTRIBUTES, BEGIN]
    at, mask = read_attributes(_KEYS, first, people.LAST, _ATTRIBUTES_TAG, data, begin, end, scratch.peer)
    span[_MASK, NUMBER] = mask
    return at


@inlined
def _peer_of(data, names, scratch):
    """Return the kind and the interned name of a calling span's other side."""
    mask = scratch.span[_MASK, NUMBER]
    if not _calls(scratch.span) or mask & peers.MASK == 0:
        return NONE, np.int64(-1)
    kind, category, size = compose_peer(data, scratch.peer, mask, scratch.buffer)
    if size == 0:
        return NONE, np.int64(-1)
    return kind, intern(names, scratch.buffer, _ZERO, size, category)


@inlined
def _person_of(data, scratch):
    """Return the hash of whom the span was for, 0 where it does not say."""
    mask = scratch.span[_MASK, NUMBER]
    if mask & people.MASK == 0 or not _may_name_person(scratch.span):
        return _ZERO
    return person_of(data, scratch.peer, mask, scratch.buffer)


@inlined
def _is_error(data, at, end):
    """Return 1 if a ``Status`` says ERROR, else 0 (a malformed one too); below 0 when it cannot be read here."""
    if end - at == 2 and byte_at(data, at) == _STATUS_CODE:
        return np.int64(byte_at(data, at + 1) == _STATUS_ERROR)
    code = np.uint64(0)
    while at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag == _STATUS_CODE:
            code, at = read_varint(data, at, end)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
        if at < 0:
            return np.int64(at if at == GROUP_MET else 0)
    return np.int64(code & _INT32 == _STATUS_ERROR)


@inlined
def _write_kind_and_times(span, columns, row):
    """Write kind and times; a time that is missing or beyond the year 2262 is clamped."""
    start_ns, end_ns, kind = span[_START, NUMBER], span[_END, NUMBER], span[_KIND, NUMBER]
    flags = CLAMPED if start_ns <= 0 or end_ns <= 0 else 0
    start_ns = _INT64_MAX if start_ns < 0 else start_ns
    end_ns = _INT64_MAX if end_ns < 0 else end_ns
    if end_ns < start_ns:
        flags |= NEGATIVE
    if kind < 0 or kind >= _KINDS:
        flags |= UNKNOWN_KIND
        kind = 0
    columns[KIND, row], columns[FLAGS, row] = kind, flags
    columns[START_NS, row], columns[END_NS, row] = start_ns, end_ns
