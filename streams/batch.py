"""Decoded messages that wait to be worked on together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from streams.grouping import Ints, spread
from streams.otlp.columns import LogColumns, SpanColumns

Columns = TypeVar("Columns", SpanColumns, LogColumns)


class Messages(NamedTuple):
    """The messages that columns were decoded from, in the order of their offsets; of each one:"""

    sizes: Sequence[int]
    """how many items it has,"""
    arrivals_ns: Sequence[int]
    """when it arrived,"""
    offsets: Sequence[int]
    """and where it is in its source."""

    @classmethod
    def one(cls, size: int, arrival_ns: int, offset: int) -> Messages:
        """Return a single message."""
        return cls([size], [arrival_ns], [offset])


@dataclass(slots=True)
class Batch(Generic[Columns]):
    """Messages of one tenant that wait to be tallied, in the order of their offsets.

    Each of ``columns`` is of one message or of several.
    """

    columns: list[Columns] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    arrivals_ns: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def add(self, columns: Columns, messages: Messages) -> None:
        """Append messages."""
        self.columns.append(columns)
        self.sizes += messages.sizes
        self.arrivals_ns += messages.arrivals_ns
        self.offsets += messages.offsets

    def each(self, values: list[int]) -> Ints:
        """Repeat a value per message for each of its items."""
        return spread(values, self.sizes)
