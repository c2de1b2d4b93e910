"""Append attributes to the columns of two maps: the text of each value, and the type of each that is no string.

::

    KeyValue ─▶ key ───▶ its number: keys, and type_keys if no string     a text as the landing's SQL makes it:
           └──▶ value ─▶ values, and types                                migrations/0001_otlp_functions.sql

Only what senders write is taken, in the one way they write it: a key, then a value, which is one field or none. All
else is `ODD`, and whoever asked leaves the whole message to the SQL.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.compiled import compiled, inlined
from streams.kernels.interning import are_equal
from streams.kernels.keys import number_of
from streams.kernels.printing import put_base64, put_double, put_integer
from streams.kernels.sheets import put_16, put_byte, put_bytes, put_end, put_size, put_text, repeat_bytes, repeat_ends
from streams.kernels.wire import byte_at, little_endian, read_size, read_varint

ODD = -5
"""In place of a position: this is not read here."""

ENDS, KEYS, VALUES, TYPE_ENDS, TYPE_KEYS, TYPES = np.arange(6)  # of a plain integer each call would be compiled anew
"""Columns of two maps, from the first of them on. ``Sheet.items`` of ``VALUES`` counts values that were cut."""

MAP_COLUMNS = 6
MOST_PAIRS = 128
MOST_TEXT_BYTES = np.int64(2048)
"""As `incidentscope_attributes` in SQL; more pairs than these are left to it."""

_ZERO, _THREE = np.array([0, 3])
_ELLIPSIS = np.frombuffer("…".encode(), np.uint8)
_TRUE, _FALSE = np.frombuffer(b"true", np.uint8), np.frombuffer(b"false", np.uint8)
_SERVICE_NAME = np.frombuffer(b"service.name", np.uint8)

_KEY, _VALUE = 0x0A, 0x12
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _LIST, _BYTES = 0x0A, 0x10, 0x18, 0x21, 0x2A, 0x32, 0x3A
"""Tags of the fields of AnyValue."""

EMPTY_TYPE, STRING_TYPE, BOOL_TYPE, INT_TYPE, DOUBLE_TYPE = range(5)
"""As the Enum8 in SQL has them; arrays, lists and bytes have the numbers of their fields."""


@inlined
def put_pair(data, at, end, sheet, maps):
    """Append one ``KeyValue`` to the maps whose columns begin at ``maps``; return ``end``, or `ODD`."""
    key_begin, key_end, begin = split_pair(data, at, end)
    if key_begin < 0 or begin < 0:
        return np.int64(ODD)
    key = number_of(sheet.keys, data, key_begin, key_end)
    kind = put_value(data, begin, end, sheet, maps + VALUES, MOST_TEXT_BYTES)
    if key < 0 or kind < 0:
        return np.int64(ODD)
    put_16(sheet, maps + KEYS, key)
    sheet.items[maps + ENDS] += 1
    if kind != STRING_TYPE:
        put_16(sheet, maps + TYPE_KEYS, key)
        put_byte(sheet, maps + TYPES, kind)
        sheet.items[maps + TYPE_ENDS] += 1
    return end


@compiled
def put_pair_apart(data, at, end, sheet, maps):
    """Append one ``KeyValue`` as `put_pair` does: a call, where there are seldom any."""
    return put_pair(data, at, end, sheet, maps)


@inlined
def split_pair(data, at, end):
    """Return where the key of a ``KeyValue`` begins and ends, and its value begins, which ends at ``end``."""
    key_begin = key_end = at
    if at < end and byte_at(data, at) == _KEY:
        key_begin, key_end = read_size(data, at + 1, end)
        at = key_end
    begin = at
    if 0 <= at < end:
        if byte_at(data, at) != _VALUE:
            return np.int64(ODD), key_end, begin
        begin, at = read_size(data, at + 1, end)
    return key_begin, key_end, begin if at == end else np.int64(ODD)


@inlined
def put_value(data, at, end, sheet, column, most_bytes):
    """Append the text of one ``AnyValue``; return its type, or `ODD`."""
    if at == end:
        put_size(sheet, column, _ZERO)
        return np.int64(EMPTY_TYPE)
    tag = byte_at(data, at)
    at += 1
    if tag == _STRING:
        begin, until = read_size(data, at, end)
        return _put_string(data, begin, until, sheet, column, most_bytes) if until == end else np.int64(ODD)
    if tag == _INT:
        bits, until = read_varint(data, at, end)
        if until != end or (end - at > 9 and byte_at(data, end - 1) > 1):
            return np.int64(ODD)
        put_integer(sheet, column, bits)
        return np.int64(INT_TYPE)
    if tag == _DOUBLE and end - at == 8:
        put_double(sheet, column, little_endian(data, at))
        return np.int64(DOUBLE_TYPE)
    if tag == _BOOL and end - at == 1 and byte_at(data, at) <= 1:
        word = _TRUE if byte_at(data, at) else _FALSE
        put_text(sheet, column, word, _ZERO, np.int64(len(word)))
        return np.int64(BOOL_TYPE)
    if tag == _ARRAY or tag == _LIST or tag == _BYTES:
        begin, until = read_size(data, at, end)
        if until != end or (end - begin + 2) // 3 * 4 > most_bytes:
            return np.int64(ODD)
        put_base64(sheet, column, data, begin, end)
        return np.int64(tag >> 3)
    return np.int64(ODD)


@inlined
def _put_string(data, begin, end, sheet, column, most_bytes):
    """Append a string, cut as `incidentscope_cut` does where it is long; return its type, or `ODD`.

    Half a character at the cut would become another one, so a long text that is not ASCII is left to SQL; so is one
    that looks as if it had been cut.
    """
    size = end - begin
    if size <= most_bytes:
        if size >= most_bytes - 2 and are_equal(_ELLIPSIS, _ZERO, data, end - 3, end):
            return np.int64(ODD)
        put_text(sheet, column, data, begin, end)
        return np.int64(STRING_TYPE)
    kept = most_bytes - 5
    for at in range(begin, begin + kept):
        if byte_at(data, at) >= 0x80:
            return np.int64(ODD)
    put_size(sheet, column, kept + 3)
    put_bytes(sheet, column, data, begin, begin + kept)
    put_bytes(sheet, column, _ELLIPSIS, _ZERO, _THREE)
    sheet.items[column] += 1
    return np.int64(STRING_TYPE)


@inlined
def end_maps(sheet, maps):
    """End a row of two maps."""
    put_end(sheet, maps + ENDS)
    put_end(sheet, maps + TYPE_ENDS)


@compiled
def repeat_maps(source, sheet, maps, firsts, times):
    """Append two maps of another sheet, several times."""
    repeat_ends(source, sheet, maps + ENDS, times)
    repeat_bytes(source, sheet, maps + KEYS, firsts[maps + KEYS], times)
    repeat_bytes(source, sheet, maps + VALUES, firsts[maps + VALUES], times)
    repeat_ends(source, sheet, maps + TYPE_ENDS, times)
    repeat_bytes(source, sheet, maps + TYPE_KEYS, firsts[maps + TYPE_KEYS], times)
    repeat_bytes(source, sheet, maps + TYPES, firsts[maps + TYPES], times)


@compiled
def service_in(data, at, end):
    """Return where the text of a sound ``KeyValue`` begins if its key is ``service.name``, else -1; it ends at ``end``.

    Of a value that is no string, ``end``.
    """
    begin, until, value = split_pair(data, at, end)
    if until - begin != len(_SERVICE_NAME) or not are_equal(_SERVICE_NAME, _ZERO, data, begin, until):
        return np.int64(-1)
    if value < end and byte_at(data, value) == _STRING:
        return read_size(data, value + 1, end)[0]
    return np.int64(end)
