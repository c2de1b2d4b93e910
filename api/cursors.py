"""Opaque cursors of keyset pages: the sort key of the last item, bound to the filters it was made with.

A cursor is not a secret and grants nothing: the tenant always comes from the API key. Its checksum only
tells a cursor of other filters (which would skip or repeat items silently) from the right one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import NamedTuple

from api.parameters import MAX_INSTANT_NS
from api.problems import FieldError, Problem, Slug


class Position(NamedTuple):
    """Where a page ended: the instant and the id of its last item."""

    at_ns: int
    id: str


def write_cursor(position: tuple[int, str], filters: object) -> str:
    """Return the cursor of the page after ``position`` under these filters."""
    text = json.dumps([*position, _checksum(filters)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, filters: object) -> Position | None:
    """Return the position in ``cursor``. Raises `Problem` when it is not one of ours, or of other filters."""
    if cursor is None:
        return None
    try:
        at_ns, item_id, checksum = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _refused("This is not a cursor of ours.") from None
    if not (type(at_ns) is int and 0 <= at_ns < MAX_INSTANT_NS and isinstance(item_id, str) and item_id.isprintable()):
        raise _refused("This is not a cursor of ours.")
    if checksum != _checksum(filters):
        raise _refused("The cursor was made with other filters.")
    return Position(at_ns, item_id)


def _checksum(filters: object) -> str:
    return hashlib.sha256(repr(filters).encode()).hexdigest()[:8]


def _refused(detail: str) -> Problem:
    return Problem(Slug.INVALID, detail, errors=[FieldError(where="query.cursor", detail=detail)])
