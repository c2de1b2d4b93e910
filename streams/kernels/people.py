"""Hash whom a span was for, from its attributes: `streams.otlp.people.person_of`, compiled. No id goes further."""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER, first_there
from streams.kernels.compiled import compiled
from streams.kernels.interning import hash_bytes
from streams.kernels.peers import LAST as LAST_PEER
from streams.kernels.peers import append_number

PEOPLE_KEYS = ("user.id", "enduser.id", "enduser.pseudo.id", "user.hash", "session.id")
"""Names of the semantic conventions; the first that is there counts."""

FIRST = LAST_PEER + 1
"""The number of the first of them (`streams.kernels.spans`)."""

LAST = FIRST + len(PEOPLE_KEYS) - 1
MASK = np.int64(((1 << len(PEOPLE_KEYS)) - 1) << int(FIRST))
SEED = np.uint64(0x9E3779B97F4A7C15)
"""The same in every process, as what several of them have counted is put together."""

_ZERO = np.int64(0)


@compiled
def person_of(data, found, mask, buffer):
    """Return the hash of the first id that was found, which there is."""
    key = first_there(mask, FIRST, LAST)
    begin, end = found[key, BEGIN], found[key, END]
    if begin != end:
        return np.int64(hash_bytes(data, begin, end, SEED))
    return np.int64(hash_bytes(buffer, _ZERO, append_number(buffer, _ZERO, found[key, NUMBER]), SEED))
