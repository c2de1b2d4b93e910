"""How much a message becomes when it is stored, by its bytes alone: what items share stands once in the message, and is
stored with each of them (docs/adr/0050).

::

    list (resource, URL) ──▶ scope ──▶ items               is repeated for
      │                        └─ all but its items ...... each of them
      └─ all but its scopes .............................. each item, and each scope
                                 metric ──▶ points
                                   └─ all but its points . each of them (and what is around it for the metric, too)

Lengths are read, and what is between them is passed over: a few nanoseconds an item.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.compiled import compiled
from streams.kernels.wire import END_GROUP, GROUP, SIZED, read_size, read_tag, skip_value

ITEMS, REPEATED, TOTALS = range(3)
"""Places in ``totals``, and how many there are: items, and bytes."""

_LISTS, _INNER, _POINT = 0x0A, 0x12, 0x0A
_FIRST_DATA, _LAST_DATA = 5, 11
_MALFORMED = -1


@compiled
def count_repeated(data, is_metrics, totals):
    """Add the items of a message, and the bytes that they share as often as they are repeated.

    What is malformed is counted up to there: nobody takes it.
    """
    at, end = 0, len(data)
    while 0 <= at < end:
        tag, begin, at = _next(data, at, end)
        if at >= 0 and tag == _LISTS:
            _count_list(data, begin, at, is_metrics, totals)


@compiled
def _count_list(data, at, end, is_metrics, totals):
    """Add what the scopes of a list repeat, and what the list itself does."""
    own_bytes, items, scopes = end - at, totals[ITEMS], 0
    while 0 <= at < end:
        field = at
        tag, begin, at = _next(data, at, end)
        if at >= 0 and tag == _INNER:
            own_bytes -= at - field
            scopes += 1
            _count_scope(data, begin, at, is_metrics, totals)
    totals[REPEATED] += own_bytes * (totals[ITEMS] - items + scopes)


@compiled
def _count_scope(data, at, end, is_metrics, totals):
    own_bytes, items = end - at, totals[ITEMS]
    while 0 <= at < end:
        field = at
        tag, begin, at = _next(data, at, end)
        if at >= 0 and tag == _INNER:
            own_bytes -= at - field
            totals[ITEMS] += 1
            if is_metrics:
                _count_metric(data, begin, at, totals)
    totals[REPEATED] += own_bytes * (totals[ITEMS] - items)


@compiled
def _count_metric(data, at, end, totals):
    own_bytes, items = end - at, totals[ITEMS]
    while 0 <= at < end:
        tag, begin, at = _next(data, at, end)
        if at >= 0 and tag & 7 == SIZED and _FIRST_DATA <= tag >> 3 <= _LAST_DATA:
            inner = begin
            while 0 <= inner < at:
                field = inner
                tag, begin, inner = _next(data, inner, at)
                if inner >= 0 and tag == _POINT:
                    own_bytes -= inner - field
                    totals[ITEMS] += 1
    totals[REPEATED] += own_bytes * (totals[ITEMS] - items)


@compiled
def _next(data, at, end):
    """Return the tag of the next field, where its value begins if it is sized, and where it ends.

    A group is passed over with all that is in it, however deep: it hides nothing that comes after it.
    """
    depth = 0
    while True:
        tag, at = read_tag(data, at, end)
        begin = at
        if at < 0:
            return tag, begin, at
        if tag & 7 == SIZED:
            begin, at = read_size(data, at, end)
        elif tag & 7 == GROUP:
            depth += 1
        elif tag & 7 == END_GROUP:
            depth -= 1
        else:
            at = skip_value(data, at, end, tag)
        if depth <= 0 or at < 0:
            return tag, begin, at if depth == 0 else np.int64(_MALFORMED)
        if at >= end:
            return tag, begin, np.int64(_MALFORMED)
