"""Whom a request was for: a hash of the id that its span carries. The id itself goes no further.

Attribute names: OpenTelemetry's semantic conventions (registry: user, enduser, session), all in development. A session
stands for its user where nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.kernels.people import PEOPLE_KEYS, SEED
from streams.otlp.attributes import read_raw

_WANTED = frozenset(key.encode() for key in PEOPLE_KEYS)
_ONE, _TWO = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = (1 << 64) - 1
_WORD = 8


def person_of(attributes: Iterable[bytes]) -> int:
    """Return the hash of the first id among unparsed attributes; 0 where there is none."""
    found = read_raw(attributes, _WANTED)
    raw = next((found[key.encode()] for key in PEOPLE_KEYS if found.get(key.encode())), b"")
    return hash_of(raw) if raw else 0


def hash_of(raw: bytes) -> int:
    """Return a number of 64 bits: `streams.kernels.interning.hash_bytes`."""
    mixed, at = (int(SEED) + len(raw) * _TWO) & _ALL, 0
    while len(raw) - at > _WORD:
        mixed = (mixed ^ int.from_bytes(raw[at : at + _WORD], "little")) * _ONE & _ALL
        mixed ^= mixed >> 31
        at += _WORD
    rest = int.from_bytes(raw[-_WORD:], "little") if len(raw) >= _WORD else int.from_bytes(raw, "big")
    mixed = (mixed ^ rest) * _TWO & _ALL
    return mixed ^ (mixed >> 31)
