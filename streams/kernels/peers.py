"""Compose the name of a span's other side from its attributes: `streams.otlp.peers.peer_of`, compiled.

The host of a URL is not taken out of it here: the name is given a category, and its text is made once, elsewhere.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER, first_there
from streams.kernels.compiled import compiled
from streams.kernels.wire import byte_at

TEXT, URL, SYSTEM_AND_URL = np.arange(3)
"""Categories: the text itself; the host of this URL; a size in two bytes, so much of a system's name, then a URL."""

NONE, DATABASE, MESSAGING, EXTERNAL = np.arange(4)
"""As `streams.otlp.columns.PeerKind`."""

NAME_BYTES = 1_040
"""What of a string goes into a name: a name has at most 256 characters, and each is at most four bytes."""

URL_BYTES = 2 * NAME_BYTES
BUFFER_BYTES = 4 * NAME_BYTES + URL_BYTES

PEER_KEYS = (
    "db.system.name", "db.system", "db.namespace", "db.name",
    "messaging.system", "messaging.destination.name", "messaging.destination", "peer.service",
    "server.address", "net.peer.name", "network.peer.address", "net.peer.ip",
    "server.port", "net.peer.port", "network.peer.port", "url.full", "http.url",
)  # fmt: skip
FIRST = np.int64(6)
"""The number of the first of them; the keys of a resource come before (`streams.kernels.spans`)."""

LAST = FIRST + len(PEER_KEYS) - 1
MASK = np.int64(((1 << len(PEER_KEYS)) - 1) << int(FIRST))
"""Their bits in a mask of attributes that were found."""

_SYSTEM, _SYSTEM_2, _NAMESPACE, _NAMESPACE_2, _MESSAGING, _DESTINATION, _DESTINATION_2, _SERVICE = FIRST + np.arange(8)
_ADDRESS, _ADDRESS_4, _PORT, _PORT_3, _URL, _URL_2 = FIRST + np.array([8, 11, 12, 14, 15, 16])

_COLON = 0x3A
_MAX_SCHEME, _MAX_AUTHORITY = 20, 512


@compiled
def compose_peer(data, found, mask, buffer):
    """Return the kind of peer, the category of its name, and how much of ``buffer`` the name takes (0: none)."""
    kind, system, place, port = _choose(data, found, mask)
    is_url = place >= _URL
    category = TEXT if not is_url else URL if system < 0 else SYSTEM_AND_URL
    size = begin = 2 if category == SYSTEM_AND_URL else 0
    for part in range(3):
        key = system if part == 0 else place if part == 1 else port
        if key < 0:
            continue
        if size > begin and not (is_url and part == 1):
            buffer[size] = _COLON
            size += 1
        size = _append(buffer, size, data, found[key, BEGIN], found[key, END], found[key, NUMBER], key >= _URL)
        if begin == 2 and part == 0:
            buffer[0], buffer[1] = (size - 2) & 0xFF, (size - 2) >> 8
    return kind, category, size


@compiled
def _choose(data, found, mask):
    """Return the kind, and the keys of the name's parts: system, place (a host or a URL too), port; -1 for none."""
    system, place = first_there(mask, _SYSTEM, _SYSTEM_2), np.int64(-1)
    if system < 0 and mask >> _MESSAGING & 1:
        return MESSAGING, _MESSAGING, first_there(mask, _DESTINATION, _DESTINATION_2), -1
    kind = DATABASE if system >= 0 else EXTERNAL
    if system >= 0:
        place = first_there(mask, _NAMESPACE, _NAMESPACE_2)
    if place < 0 and mask >> _SERVICE & 1:
        place = _SERVICE
    if place >= 0:
        return kind, system, place, -1
    place, port = first_there(mask, _ADDRESS, _ADDRESS_4), first_there(mask, _PORT, _PORT_3)
    if place < 0:
        return kind, system, first_there(mask, _URL, _URL_2), -1
    is_default = port >= 0 and _is_default_port(data, found[port, BEGIN], found[port, END], found[port, NUMBER])
    return kind, system, place, np.int64(-1) if is_default else port


@compiled
def _is_default_port(data, begin, end, number):
    if begin == end:
        return number == 80 or number == 443
    if end - begin > 3:
        return False
    value = np.int64(0)
    for index in range(begin, end):
        value = value << 8 | np.int64(byte_at(data, index))
    return value == 0x30 or value == 0x3830 or value == 0x343433  # "0", "80", "443"


@compiled
def _append(buffer, size, data, begin, end, number, is_url):
    """Append a found value as text, cut to what goes into a name; return the new size."""
    if begin == end:
        return append_number(buffer, size, number)
    if is_url:
        plain = _plain_end(data, begin, end)
        end = plain if plain > 0 else min(end, begin + URL_BYTES)
    return append_bytes(buffer, size, data, begin, min(end, begin + (URL_BYTES if is_url else NAME_BYTES)))


@compiled
def append_bytes(buffer, size, data, begin, end):
    """Append ``data[begin:end]``; return the new size."""
    for index in range(end - begin):
        buffer[np.uint64(size + index)] = byte_at(data, begin + index)
    return size + end - begin


@compiled
def append_number(buffer, size, number):
    """Append the decimal digits of a number; return the new size."""
    rest = np.uint64(number)
    if number < 0:
        buffer[size] = 0x2D
        size += 1
        rest = np.uint64(0) - rest
    digits, left = 1, rest
    while left >= np.uint64(10):
        left //= np.uint64(10)
        digits += 1
    for index in range(digits - 1, -1, -1):
        buffer[size + index] = np.uint8(0x30) + np.uint8(rest % np.uint64(10))
        rest //= np.uint64(10)
    return size + digits


@compiled
def _plain_end(data, begin, end):
    """Return where ``scheme://authority`` of usual characters ends, or -1."""
    at = begin
    while at < end and at - begin < _MAX_SCHEME and _is_letter_or_digit(byte_at(data, at)):
        at += 1
    if end - at < 3 or at == begin or not 0x61 <= byte_at(data, begin) | 0x20 <= 0x7A:
        return -1
    if byte_at(data, at) != _COLON or byte_at(data, at + 1) != 0x2F or byte_at(data, at + 2) != 0x2F:
        return -1
    at += 3
    first = at
    while at < end:
        byte = byte_at(data, at)
        if byte == 0x2F or byte == 0x3F or byte == 0x23:  # / ? #
            return at
        if at - first >= _MAX_AUTHORITY or not (_is_letter_or_digit(byte) or _is_mark(byte)):
            return -1
        at += 1
    return at


@compiled
def _is_letter_or_digit(byte):
    return 0x61 <= byte | 0x20 <= 0x7A or 0x30 <= byte <= 0x39


@compiled
def _is_mark(byte):
    return byte == 0x2D or byte == 0x2E or byte == _COLON or byte == 0x40 or byte == 0x5F or byte == 0x25  # -.:@_%
