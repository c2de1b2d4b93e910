"""What the items of a message share, as often as it is stored: with each of them. Too much of it is refused.

It is counted before anything is opened, by the bytes alone: windows and raw rows have one verdict, on every replay.
"""

from __future__ import annotations

import numpy as np

from schemas.crowding import MOST_REPEATED_BYTES
from schemas.errors import BadPayload, RejectReason
from streams.kernels.compiled import IS_COMPILED
from streams.kernels.repeating import REPEATED, TOTALS, count_repeated
from streams.otlp.columns import Signal

UNCOUNTED_BYTES = 1 << 10
"""A message below this repeats less than an eighth of its square, 128 KiB, in items of two bytes; it counts as none."""

LITTLE_BYTES = 64 << 10
"""Less than this needs not be told of a message: 4,096 of them, as many as are stored at once, repeat 256 MiB."""


def repeated_bytes(signal: Signal, payload: bytes) -> int:
    """Return how many bytes items share, each as often as it is stored with one of them."""
    size_bytes = len(payload)
    if size_bytes < UNCOUNTED_BYTES or (not IS_COMPILED and size_bytes**2 <= 8 * MOST_REPEATED_BYTES):
        return 0
    totals = np.zeros(TOTALS, np.int64)
    count_repeated(np.frombuffer(payload, np.uint8), signal is Signal.METRICS, totals)
    return int(totals[REPEATED])


def check_repeated(repeated: int) -> None:
    """Raise `BadPayload` (``too_large``) when that is more than is stored of one message."""
    if repeated > MOST_REPEATED_BYTES:
        detail = f"what its items share is {repeated} bytes when each has it, at most {MOST_REPEATED_BYTES} are stored"
        raise BadPayload(RejectReason.TOO_LARGE, detail)
