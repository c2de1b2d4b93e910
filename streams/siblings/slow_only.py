"""States of before failures were compared (version 1), in the words of today."""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.siblings.kinds import SIZES, SLOW

_ROW = np.dtype(
    [
        ("first", "<u4"), ("heard", "<u4"), ("requests", "<f4"), ("slow", "<f4"), ("doubtful", "<f4"),
        ("doubtful_slow", "<f4"), ("rate", "<f4"), ("missed", "<f4"), ("sums", "<f4", (SIZES,)),
        ("starts", "<u4", (SIZES,)), ("active", "?"), ("accepted", "?"),
    ]
)  # fmt: skip
_NEW = {"slow": "hits", "doubtful_slow": "doubtful_hits"}
_OF_ALL_KINDS = ("first", "heard", "rate", "missed")


def read_slow_only(body: list[Any], row: np.dtype[Any]) -> list[Any]:
    """Return a packed state of version 1 as one of version 2.

    All that it knows were there when failures began to be compared: their habits are learned before they are judged.
    """
    _, pane_s, names, snapshots = body
    began = max((one[0] for one in snapshots), default=0) // (pane_s * 1_000_000_000)
    return [2, pane_s, names, [_with_failures(one, began, row) for one in snapshots]]


def _with_failures(snapshot: list[Any], failures_began: int, row: np.dtype[Any]) -> list[Any]:
    pane_ns, raw, worst, began, line_ms = snapshot
    old = np.frombuffer(raw, _ROW)
    rows = np.zeros(len(old), row)
    for name in _ROW.names or ():
        if name in _OF_ALL_KINDS:
            rows[name] = old[name]
        else:
            rows[_NEW.get(name, name)][:, SLOW] = old[name]
    return [pane_ns, rows.tobytes(), [worst, 0.0], [began, failures_began], line_ms]
