"""Merge the name lists of several messages into one, column-wise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.grouping import Ints


class Vocabulary:
    """One list of names for many columns, and the way from their indices to its own.

    Columns that share their list (the very object, as those of one decoder do) cost nothing.
    """

    def __init__(self, lists: Sequence[list[str]]) -> None:
        self.texts: list[str] = lists[0] if lists else []
        self._merged: Ints | None = None
        if any(names is not self.texts for names in lists):
            self._merge(lists)

    def _merge(self, lists: Sequence[list[str]]) -> None:
        ids: dict[str, int] = {}
        distinct = {id(names): names for names in lists}
        merged = [ids.setdefault(name, len(ids)) for names in distinct.values() for name in names]
        self.texts = list(ids)
        self._merged = np.array([*merged, -1], dtype=np.int64)
        firsts = dict(zip(distinct, np.cumsum([0, *map(len, distinct.values())]).tolist(), strict=False))
        self._firsts = np.array([firsts[id(names)] for names in lists])

    def look_up(self, indices: NDArray[np.int32] | Ints, counts: Sequence[int]) -> Ints:
        """Translate the joined indices of all columns; ``counts`` are the columns' sizes, -1 stays -1."""
        if self._merged is None:
            return indices.astype(np.int64)
        joined = indices + np.repeat(self._firsts, counts)
        joined[indices < 0] = -1
        found: Ints = self._merged[joined]
        return found


def used_names(names: Sequence[str], *columns: NDArray[np.int32] | Ints) -> tuple[list[str], list[Ints]]:
    """Drop the names that no column uses; returns what is left and the translated columns (-1 stays -1)."""
    is_used = np.zeros(len(names) + 1, dtype=np.bool_)  # the last is that of -1
    for column in columns:
        is_used[column] = True
    used = np.flatnonzero(is_used[:-1])
    place = np.full(len(names) + 1, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    return [names[index] for index in used.tolist()], [place[column] for column in columns]
