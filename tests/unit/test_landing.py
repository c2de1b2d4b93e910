"""Landing: the one bad row is found and kept as a dead letter; when everything is refused the worker stops."""

import json
from dataclasses import dataclass, field

import pytest

from schemas.errors import StoreRejected
from sinks.clickhouse.landing import RawRow
from topologies.landing import REJECTED_IN_A_ROW, Landing


@dataclass
class PickySink:
    """Stores whole batches; refuses those that hold a value it does not like."""

    bad: bytes
    stored: list[int] = field(default_factory=list)

    async def insert(self, topic: str, rows: list[RawRow]) -> None:
        """Store the rows, or raise."""
        if any(row.value == self.bad for row in rows):
            raise StoreRejected("cannot parse")
        self.stored += [row.offset for row in rows]


def rows(values: list[bytes]) -> list[RawRow]:
    """Return rows of one partition, numbered from 0."""
    return [RawRow("acme", 0, offset, value, 0) for offset, value in enumerate(values)]


async def test_one_bad_row_becomes_a_dead_letter_and_its_neighbours_are_stored() -> None:
    """Halving finds the row; the letter names where it was."""
    sink = PickySink(b"bad")
    landing = Landing(sink)  # type: ignore[arg-type]
    letters = await landing.land("otel.traces", rows([b"ok"] * 5 + [b"bad"] + [b"ok"] * 4), lambda: True)
    assert sorted(sink.stored) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [letter.key for letter in letters] == [b"otel.traces:0:5:-1"]
    assert json.loads(letters[0].value or b"")["reason"] == "decode"


async def test_row_after_row_refused_is_no_bad_input() -> None:
    """A sink that refuses everything ends in `StoreRejected`, not in diverting everything."""
    landing = Landing(PickySink(b"x"))  # type: ignore[arg-type]
    with pytest.raises(StoreRejected):
        await landing.land("otel.traces", rows([b"x"] * (2 * REJECTED_IN_A_ROW)), lambda: True)
