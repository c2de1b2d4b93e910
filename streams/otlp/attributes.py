"""Read the few attributes that matter out of unparsed key-value bytes, and intern names."""

from __future__ import annotations

from collections.abc import Container, Iterable

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from streams.otlp.slim import KeyValue

MAX_NAME = 256
"""Characters of a service, operation or node name; the rest is cut and counted."""

_KEY_TAG = 0x0A


class Names:
    """Interns the names of one message; repairs what is not UTF-8 and cuts what is too long.

    A text may be in ``names`` twice: as it came, and as what another became when it was repaired or cut.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._repaired: list[bool] = []
        self._truncated: list[bool] = []
        self._by_bytes: dict[bytes, int] = {}
        self._by_text: dict[str, int] = {}

    def of_bytes(self, raw: bytes) -> int:
        """Return the index of a name as it is on the wire."""
        index = self._by_bytes.get(raw)
        if index is None:
            index = self._by_bytes[raw] = self._add(*readable(raw))
        return index

    def of_text(self, text: str) -> int:
        """Return the index of a name."""
        index = self._by_text.get(text)
        if index is None:
            index = self._by_text[text] = self._add(text, False)
        return index

    def repaired(self, *columns: NDArray[np.int32]) -> int:
        """Return how many of these indices are of names that were not UTF-8."""
        return _count(self._repaired, columns)

    def truncated(self, *columns: NDArray[np.int32]) -> int:
        """Return how many of these indices are of names that were cut."""
        return _count(self._truncated, columns)

    def _add(self, text: str, repaired: bool) -> int:
        text, truncated = cut(text)
        self.names.append(text)
        self._repaired.append(repaired)
        self._truncated.append(truncated)
        return len(self.names) - 1


def readable(raw: bytes) -> tuple[str, bool]:
    """Return bytes as text, and whether they had to be repaired for that."""
    try:
        return raw.decode(), False
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), True


def cut(text: str) -> tuple[str, bool]:
    """Return a name of at most `MAX_NAME` characters, and whether it was longer."""
    return text[:MAX_NAME], len(text) > MAX_NAME


def _count(flags: list[bool], columns: tuple[NDArray[np.int32], ...]) -> int:
    if not any(flags):
        return 0
    flag = np.array([*flags, False])
    return sum(int(flag[column].sum()) for column in columns)


def read_attributes(raws: Iterable[bytes], wanted: Container[bytes]) -> dict[str, str]:
    """Return the wanted attributes of unparsed ``KeyValue`` messages as text; the last of equal keys wins."""
    found = read_raw(raws, wanted)
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in found.items()}


def read_raw(raws: Iterable[bytes], wanted: Container[bytes]) -> dict[bytes, bytes]:
    """Return the wanted attributes as `read_attributes` does, texts as they are on the wire."""
    found: dict[bytes, bytes] = {}
    for raw in raws:
        if len(raw) < 2:
            continue
        if raw[0] == _KEY_TAG and raw[1] < 0x80 and raw[2 : 2 + raw[1]] not in wanted:
            continue
        pair = _read_pair(raw)
        if pair is not None and pair[0] in wanted:
            found[pair[0]] = pair[1]
    return found


def read_pairs(raws: Iterable[bytes], most: int) -> tuple[tuple[str, str], ...]:
    """Return unparsed ``KeyValue`` messages as text, in order of their keys, at most so many; the first keys stay."""
    pairs = (_read_pair(raw) for raw in raws)
    found = sorted((cut(readable(pair[0])[0])[0], cut(readable(pair[1])[0])[0]) for pair in pairs if pair is not None)
    return tuple(found[:most])


def _read_pair(raw: bytes) -> tuple[bytes, bytes] | None:
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError:
        return None
    value = pair.value
    if value.string_value:
        return pair.key, value.string_value
    if value.int_value:
        return pair.key, str(value.int_value).encode()
    return pair.key, b""
