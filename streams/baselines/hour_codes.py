"""Measurements in one byte, eight steps a doubling, so that weeks of them stay small.

The code is the exponent and the first three mantissa bits of the rounded float32 (see `streams.latency`): a value is at
most 6.3 % off, less than the smallest scale anything is judged by (10 % of the median). Codes are in the order of their
values, so a median of codes is the code of the median.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]

NOTHING = 0
ZERO = 1
"""Also of everything up to 1/64."""
_SHIFT, _OFFSET = 20, 967  # code 1 is 2**-6

VALUES: Floats = ((np.arange(256, dtype=np.int32) + _OFFSET) << _SHIFT).view(np.float32).astype(np.float64)
"""What each code means; NaN for nothing."""
VALUES[NOTHING], VALUES[ZERO] = np.nan, 0.0


def encode(values: Sequence[Sequence[float]] | Floats) -> Codes:
    """Return the code of each value: from 1/64 to 6e7, what is beyond is cut. NaN is nothing."""
    known = np.asarray(values, dtype=np.float32)
    steps = (known.view(np.int32) + (1 << (_SHIFT - 1)) >> _SHIFT) - _OFFSET
    codes: Codes = np.minimum(np.maximum(steps, ZERO), 255).astype(np.uint8)
    codes[np.isnan(known)] = NOTHING
    return codes


def middle(codes: Codes, axis: int, *, upper: bool = False) -> tuple[Codes, NDArray[np.int64]]:
    """Return the median of the known codes along an axis, of two the lower (or upper) one, and how many are known."""
    ordered = np.sort(codes, axis=axis)  # what is unknown comes first
    count = codes.shape[axis]
    known = np.count_nonzero(ordered, axis=axis)
    place = count - known + (known if upper else np.maximum(known - 1, 0)) // 2
    place = np.expand_dims(np.minimum(place, max(count - 1, 0)), axis)
    return np.take_along_axis(ordered, place, axis).squeeze(axis), known
