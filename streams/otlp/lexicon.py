"""The names that messages have used so far: interned as bytes by compiled code, made into text once each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.keys import UNKNOWN_SERVICE
from streams.kernels.interning import CATEGORY, COUNT, END, intern, intern_table, refill
from streams.kernels.peers import SYSTEM_AND_URL, TEXT, URL
from streams.otlp.attributes import cut, readable
from streams.otlp.peers import host_of

NO_TEXT = -1

_FIRST_NAMES, _FIRST_BYTES = 4_096, 1 << 18
_SEED = hash("lexicon")
"""Python's string hash is other in each process, which is what is wanted here."""


class Lexicon:
    """Byte strings of many messages and their texts. It only grows: start a new one when it has become large.

    ``texts`` is what the columns of all these messages index; no text is there twice.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.table = intern_table(_FIRST_NAMES, _FIRST_BYTES, _SEED)
        self._ids: dict[str, int] = {}
        self._settled = 0
        self._is_own_place = True
        """Whether the number of each string is its place, as it is until two have one text, or one has none."""
        self._any_repaired = self._any_truncated = False
        self._places = np.zeros(0, np.int32)
        self._repaired = np.zeros(0, np.bool_)
        self._truncated = np.zeros(0, np.bool_)
        self._make_room()
        unknown = np.frombuffer(bytearray(UNKNOWN_SERVICE.encode()), np.uint8)
        intern(self.table, unknown, 0, len(unknown), TEXT)

    def __len__(self) -> int:
        """How many strings there are."""
        return int(self.table.totals[COUNT])

    @property
    def size_bytes(self) -> int:
        """How much memory the strings take, without their texts."""
        return sum(array.nbytes for array in self.table)

    def grow(self) -> None:
        """Make room for twice as much."""
        old = self.table
        self.table = intern_table(2 * len(old.entries), 2 * len(old.text), _SEED)
        for name in ("text", "entries", "totals"):
            getattr(self.table, name)[: len(getattr(old, name))] = getattr(old, name)
        refill(self.table)
        self._make_room()

    def settle(self) -> None:
        """Make the texts of the strings that came since the last time."""
        first, end = self._settled, len(self)
        if first == end:
            return
        for number in range(first, end):
            begin = self.table.entries[number - 1, END] if number else 0
            raw = self.table.text[begin : self.table.entries[number, END]].tobytes()
            category = int(self.table.entries[number, CATEGORY])
            text, self._repaired[number] = _text_of(category, raw)
            text, self._truncated[number] = cut(text)
            if text or category == TEXT:
                place = self._ids.setdefault(text, len(self.texts))
                if place == len(self.texts):
                    self.texts.append(text)
                self._places[number] = place
        self._is_own_place &= self._places[first:end].tolist() == list(range(first, end))
        self._any_repaired |= bool(self._repaired[first:end].any())
        self._any_truncated |= bool(self._truncated[first:end].any())
        self._settled = end

    def places(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the places of strings in ``texts``; -1 where there is none."""
        if self._is_own_place:
            return numbers
        found: NDArray[np.int32] = self._places[numbers]
        return found

    def repaired(self, numbers: NDArray[np.int32]) -> int:
        """Return how many of these strings were not UTF-8."""
        return int(self._repaired[numbers].sum()) if self._any_repaired else 0

    def truncated(self, numbers: NDArray[np.int32]) -> int:
        """Return how many of these strings were cut."""
        return int(self._truncated[numbers].sum()) if self._any_truncated else 0

    def _make_room(self) -> None:
        """Let what is known of each string be as long as the table; the last place answers for -1."""
        more = len(self.table.entries) + 1 - len(self._places)
        self._places = np.append(self._places, np.full(more, NO_TEXT, np.int32))
        self._repaired = np.append(self._repaired, np.zeros(more, np.bool_))
        self._truncated = np.append(self._truncated, np.zeros(more, np.bool_))


def _text_of(category: int, raw: bytes) -> tuple[str, bool]:
    """Return the text that a string of a category stands for, and whether it had to be repaired."""
    if category == URL:
        return host_of(raw.decode(errors="replace")), False
    if category == SYSTEM_AND_URL:
        end = 2 + int.from_bytes(raw[:2], "little")
        system, host = raw[2:end].decode(errors="replace"), host_of(raw[end:].decode(errors="replace"))
        return (f"{system}:{host}" if host else system), False
    return readable(raw)
