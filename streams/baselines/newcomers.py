"""Operations that a service never had before: when they fail from the first request on, nothing says they ever worked.

Of an operation that was there while the service was learned, or that comes back, failing is a habit. Names are kept as
they come, up to a number: beyond it nothing is ever new, so names that are made up for each request are no news.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

MOST_NAMES = 64


class Newcomers:
    """The first panes of the operations of a service, 15 bytes each. A pane that is judged again changes none."""

    def __init__(self, first_ns: Mapping[int, int] | None = None) -> None:
        self._first_ns = dict(first_ns or {})

    def see(self, operations: Iterable[str], pane_ns: int) -> None:
        """Take the operations that are called in a pane."""
        for name in operations:
            mark = zlib.crc32(name.encode())
            if mark in self._first_ns or len(self._first_ns) < MOST_NAMES:
                self._first_ns[mark] = min(pane_ns, self._first_ns.get(mark, pane_ns))

    def began_ns(self, operation: str) -> int | None:
        """Return the start of the first pane of an operation; None of one that is not kept."""
        return self._first_ns.get(zlib.crc32(operation.encode()))

    def packed(self) -> dict[int, int]:
        """As kept in the state."""
        return self._first_ns
