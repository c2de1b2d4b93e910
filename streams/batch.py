"""Decoded messages that wait to be worked on together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streams.grouping import Ints, spread
from streams.otlp.columns import LogColumns, SpanColumns

Columns = TypeVar("Columns", SpanColumns, LogColumns)


@dataclass(slots=True)
class Batch(Generic[Columns]):
    """Messages of one tenant that wait to be tallied, in the order of their offsets."""

    columns: list[Columns] = field(default_factory=list)
    arrivals_ns: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def add(self, columns: Columns, arrival_ns: int, offset: int) -> None:
        """Append a message."""
        self.columns.append(columns)
        self.arrivals_ns.append(arrival_ns)
        self.offsets.append(offset)

    def each(self, values: list[int]) -> Ints:
        """Repeat a value per message for each of its items."""
        return spread(values, [len(columns) for columns in self.columns])
