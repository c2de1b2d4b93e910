"""What the broker has acknowledged, on disk: record by record, with the numbers of the items in it.

::

    produced ──acknowledged──▶ ledger (SQLite)  (signal, partition, offset) → numbers  ┐
    worker ──────────────────▶ ClickHouse       (signal, partition, offset) → numbers  ┴─▶ Account: lost, doubled

A record without an acknowledgement is not in the ledger: it may be in the log or not, once or twice. What the
store has of it is left alone, but each stored item must still be there once.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from numbered_load import Numbered

from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.kafka.producer import Ack

Place = tuple[str, int, int]
"""(topic, partition, offset)"""

NUMBERS = {
    TRACES.name: ("spans", "reinterpretAsUInt64(reverse(span_id))"),
    LOGS.name: ("logs", "toUInt64(body)"),
    METRICS.name: ("metric_points", "assumeNotNull(value_int)"),
}
"""Table and number of an item, by topic."""


class Ledger:
    """The acknowledged records of one producer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS acknowledged"
            " (topic TEXT, partition INT, first_offset INT, numbers BLOB, PRIMARY KEY (topic, partition, first_offset))"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def enter(self, pairs: Iterable[tuple[Numbered, Ack]]) -> None:
        """Note what was acknowledged, and where it is."""
        self._database.executemany(
            "INSERT INTO acknowledged VALUES (?, ?, ?, ?)",
            [(a.topic, a.partition, a.offset, array("q", n.numbers).tobytes()) for n, a in pairs if n.numbers],
        )
        self._database.commit()

    def items(self) -> int:
        """Return how many items were acknowledged."""
        [(size_bytes,)] = self._database.execute("SELECT ifnull(sum(length(numbers)), 0) FROM acknowledged")
        return int(size_bytes) // array("q").itemsize

    def records(self) -> Iterator[tuple[Place, list[int]]]:
        """Yield every record and its numbers."""
        for topic, partition, offset, numbers in self._database.execute("SELECT * FROM acknowledged"):
            yield (topic, partition, offset), array("q", numbers).tolist()


@dataclass(frozen=True, slots=True)
class Account:
    """Items acknowledged, items stored, and what is wrong with them."""

    produced: int
    stored: int
    lost: int
    doubled: int
    examples: tuple[str, ...] = ()


async def stored_numbers(clickhouse: ClickHouse, tenant: str) -> dict[Place, list[int]]:
    """Read the numbers of every stored record."""
    found: dict[Place, list[int]] = {}
    for topic, (table, number) in NUMBERS.items():
        rows = await clickhouse.query(
            f"SELECT kafka_partition, kafka_offset, groupArray({number}) AS numbers FROM {table}"
            " WHERE tenant = {tenant:String} GROUP BY kafka_partition, kafka_offset",
            {"tenant": tenant},
        )
        found |= {(topic, row["kafka_partition"], row["kafka_offset"]): list(row["numbers"]) for row in rows}
    return found


def settle(ledger: Ledger, stored: dict[Place, list[int]]) -> Account:
    """Compare the ledger with what the store holds."""
    produced = lost = 0
    examples: list[str] = []
    for place, numbers in ledger.records():
        produced += len(numbers)
        missing = Counter(numbers) - Counter(stored.get(place, ()))
        if missing:
            lost += missing.total()
            examples.append(f"lost {missing.total()} of {len(numbers)} at {place}")
    doubled = 0
    for place, numbers in stored.items():
        if (more := len(numbers) - len(set(numbers))) > 0:
            doubled += more
            examples.append(f"doubled {more} of {len(numbers)} at {place}")
    total = sum(map(len, stored.values()))
    return Account(produced, total, lost, doubled, tuple(examples[:10]))
