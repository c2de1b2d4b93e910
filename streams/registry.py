"""Ids for the names that many blocks share: services (with their tenant) and other texts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.grouping import Ints
from streams.stub_blocks import StubColumns

SHRINK_AT = 100_000
"""Names held before unused ones are dropped."""

Name = TypeVar("Name", bound=Hashable)


class Interner(Generic[Name]):
    """Gives each name a small id."""

    def __init__(self) -> None:
        self.names: list[Name] = []
        self._ids: dict[Name, int] = {}

    def id_of(self, name: Name) -> int:
        """Return the name's id, a new one if it has none."""
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = len(self.names)
            self.names.append(name)
        return found

    def keep(self, used: Sequence[int]) -> Ints:
        """Forget all names but these; returns the new id by old id (-1: forgotten)."""
        moved = np.full(len(self.names), -1, dtype=np.int64)
        moved[used] = np.arange(len(used))
        self.names = [self.names[index] for index in used]
        self._ids = {name: index for index, name in enumerate(self.names)}
        return moved


class Registry:
    """The services and the texts (operations, peers) of all stubs that a fold holds."""

    def __init__(self) -> None:
        self.services: Interner[tuple[str, str]] = Interner()
        self.texts: Interner[str] = Interner()
        self._shrink_at = SHRINK_AT

    def adopt(self, tenant: str, spans: StubColumns, names: list[str], offset: int) -> StubColumns:
        """Return the spans of a block with our ids, and with the block's own offset."""
        services = {i: self.services.id_of((tenant, names[i])) for i in np.unique(spans.service).tolist()}
        texts = {i: self.texts.id_of(names[i]) for i in _used(spans.operation, spans.peer)}
        spans.service = _translate(spans.service, services, len(names))
        spans.operation = _translate(spans.operation, texts, len(names))
        spans.peer = _translate(spans.peer, texts, len(names))
        spans.offset = np.full(len(spans), offset, dtype=np.int64)
        return spans

    def shrink(self, columns: Iterable[StubColumns]) -> None:
        """Forget unused names when there are many; the columns are translated in place."""
        if len(self.services.names) + len(self.texts.names) < self._shrink_at:
            return
        held = list(columns)
        service_of = self.services.keep(_used(*(spans.service for spans in held)))
        text_of = self.texts.keep(_used(*(c for spans in held for c in (spans.operation, spans.peer))))
        for spans in held:
            spans.service = service_of[spans.service]
            spans.operation = text_of[spans.operation]
            spans.peer = np.where(spans.peer < 0, -1, text_of[spans.peer])
        self._shrink_at = SHRINK_AT + 2 * (len(self.services.names) + len(self.texts.names))


def _used(*columns: NDArray[np.int32] | Ints) -> list[int]:
    if not columns:
        return []
    found: list[int] = np.unique(np.concatenate(columns)).tolist()
    return [index for index in found if index >= 0]


def _translate(column: NDArray[np.int32] | Ints, ids: dict[int, int], names: int) -> NDArray[np.int32]:
    table = np.full(names + 1, -1, dtype=np.int32)
    table[list(ids)] = list(ids.values())
    translated: NDArray[np.int32] = table[column]
    return translated
