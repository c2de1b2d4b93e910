"""Find a few attributes among many ``KeyValue`` messages.

Found values are rows of an array, one a wanted key: ``(begin, end, number)``. A string is where it lies in the
message; an integer is ``number`` with an empty string. A mask has a bit for each key that is there, which is what
neither empty nor 0 is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import compiled, inlined
from streams.kernels.interning import are_equal
from streams.kernels.wire import GROUP_MET, SIZED, byte_at, read_size, read_tag, read_varint, skip_value

BEGIN, END, NUMBER = 0, 1, 2

_KEY, _VALUE = 0x0A, 0x12
_STRING, _INT = 0x0A, 0x18
_SLOTS = 128
_ONE_BYTE = 0x80


class Keys(NamedTuple):
    """The wanted keys, and a perfect hash of them: by length, first and last byte each has a slot of its own."""

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]
    slots: NDArray[np.int8]
    factor: int
    sizes: int
    """A bit for each length that occurs (below 64)."""


def keys_of(names: Sequence[str]) -> Keys:
    """Return the tables for some keys."""
    raws = [name.encode() for name in names]
    for factor in range(1, 10_000):
        places = [(len(raw) * factor + raw[0] * 3 + raw[-1]) % _SLOTS for raw in raws]
        if len(set(places)) == len(places):
            slots = np.full(_SLOTS, -1, dtype=np.int8)
            slots[places] = np.arange(len(raws))
            ends = np.cumsum([len(raw) for raw in raws])
            return Keys(
                np.frombuffer(bytearray().join(raws), np.uint8),
                ends,
                slots,
                factor,
                sum({1 << len(raw) for raw in raws}),
            )
    raise ValueError("no perfect hash for these keys")


@inlined
def find_key(keys, data, begin, end):
    """Return which of the wanted keys ``data[begin:end]`` is, or -1."""
    size = end - begin
    if size <= 0 or size >= 64 or keys.sizes >> size & 1 == 0:
        return -1
    slot = (size * keys.factor + np.int64(byte_at(data, begin)) * 3 + np.int64(byte_at(data, end - 1))) & (_SLOTS - 1)
    number = np.int64(keys.slots[np.uint64(slot)])
    if number < 0:
        return -1
    first = keys.ends[number - 1] if number > 0 else 0
    if keys.ends[number] - first != size:
        return -1
    return number if are_equal(keys.text, first, data, begin, end) else -1


@compiled
def read_attributes(keys, first_key, last_key, field_tag, data, at, end, found):
    """Note the values of wanted keys (a range of ``keys``) among the fields of a message.

    Fields other than ``field_tag`` are skipped. Returns where reading ended, and the mask of what was found.
    """
    mask = np.int64(0)
    while at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag == field_tag:
            begin, at = read_size(data, at, end)
            if at >= 0:
                at, mask = read_attribute(keys, first_key, last_key, data, begin, at, found, mask)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
        if at < 0:
            break
    return at, mask


@inlined
def read_attribute(keys, first_key, last_key, data, begin, end, found, mask):
    """Note one ``KeyValue``; the last of equal keys wins, a malformed one is passed over.

    Returns ``end`` (or `GROUP_MET`) and the new mask. Most are not wanted, and most that are look as senders write
    them: key, then value, sizes below 128. These two are told at once.
    """
    if end - begin < 2:
        return end, mask
    if byte_at(data, begin) == _KEY and byte_at(data, begin + 1) < _ONE_BYTE:
        key_end = min(end, begin + 2 + np.int64(byte_at(data, begin + 1)))
        key = find_key(keys, data, begin + 2, key_end)
        if not first_key <= key <= last_key:
            return end, mask
        tag = _plain_tag(data, key_end, end)
        if tag == _STRING and np.int64(byte_at(data, key_end + 3)) == end - key_end - 4:
            found[key, BEGIN], found[key, END], found[key, NUMBER] = key_end + 4, end, 0
            return end, _with_bit(mask, key, end > key_end + 4)
        if tag == _INT:
            number, after = read_varint(data, key_end + 3, end)
            if after == end:
                found[key, BEGIN], found[key, END], found[key, NUMBER] = 0, 0, np.int64(number)
                return end, _with_bit(mask, key, number != 0)
    outcome, key, value = _read_pair(keys, data, begin, end)
    if outcome < 0:
        return np.int64(outcome if outcome == GROUP_MET else end), mask
    if first_key <= key <= last_key:
        found[key, BEGIN], found[key, END], found[key, NUMBER] = value
        mask = _with_bit(mask, key, value[BEGIN] != value[END] or value[NUMBER] != 0)
    return end, mask


@inlined
def _plain_tag(data, at, end):
    """Return the first tag in a value that is all that is left of a ``KeyValue`` and short, else 0."""
    size = end - at
    if 4 <= size < _ONE_BYTE and byte_at(data, at) == _VALUE and np.int64(byte_at(data, at + 1)) == size - 2:
        return np.int64(byte_at(data, at + 2))
    return np.int64(0)


@inlined
def _with_bit(mask, key, is_there):
    bit = np.int64(1) << key
    return mask | bit if is_there else mask & ~bit


@compiled
def _read_pair(keys, data, at, end):
    """Read any ``KeyValue``; return where reading ended, the key's number and the value."""
    key_begin = key_end = 0
    value = (np.int64(0), np.int64(0), np.int64(0))
    while at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag & 7 == SIZED:
            begin, at = read_size(data, at, end)
            if at >= 0 and tag == _KEY:
                key_begin, key_end = begin, at
            elif at >= 0 and tag == _VALUE:
                outcome, value = _read_value(data, begin, at, value)
                at = min(at, outcome)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
        if at < 0:
            break
    return at, find_key(keys, data, key_begin, key_end), value


@compiled
def _read_value(data, at, end, value):
    """Merge one ``AnyValue`` into what is known of the value; return where reading ended, and the value."""
    begin, ends, number = value
    while at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag == _STRING:
            begin, at = read_size(data, at, end)
            ends = at
        elif at >= 0 and tag == _INT:
            unsigned, at = read_varint(data, at, end)
            number = np.int64(unsigned)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
        if at < 0:
            break
    return at, (begin, ends, number)


@compiled
def first_there(mask, first, last):
    """Return the first of some keys whose bit is set, or -1."""
    for key in range(first, last + 1):
        if mask >> key & 1:
            return key
    return np.int64(-1)
