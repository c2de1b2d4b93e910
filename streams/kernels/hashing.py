"""The hashes of `streams.mixing`, all of a span in one pass over the columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import compiled

_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)
_SHIFT_A, _SHIFT_B, _SHIFT_C = np.uint64(30), np.uint64(27), np.uint64(31)
_NO_PARENT = np.uint64(0)

Hashes = NDArray[np.uint64]


@compiled
def _mix(value):
    value = (value ^ (value >> _SHIFT_A)) * _ONE
    value = (value ^ (value >> _SHIFT_B)) * _TWO
    return value ^ (value >> _SHIFT_C)


@compiled
def hash_spans(
    salt: np.uint64,
    trace_hi: Hashes,
    trace_lo: Hashes,
    span_id: Hashes,
    parent_id: Hashes,
    trace: Hashes,
    span: Hashes,
    parent: Hashes,
) -> None:
    """Fill ``trace``, ``span`` and ``parent`` (0 for a root) of spans of one tenant."""
    for row in range(len(trace_hi)):
        key = _mix(_mix(trace_hi[row] ^ salt) + trace_lo[row])
        trace[row] = key
        span[row] = _mix(key ^ _mix(span_id[row]))
        parent[row] = _NO_PARENT if parent_id[row] == _NO_PARENT else _mix(key ^ _mix(parent_id[row]))
