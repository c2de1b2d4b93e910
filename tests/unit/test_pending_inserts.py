"""A token says what is in its insert, and reads back as it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.checkpoints import OffsetRange, PendingInsert

NUMBERS = st.integers(0, 2**63 - 1)
RANGES = st.builds(OffsetRange, st.integers(0, 300), NUMBERS, NUMBERS)


@given(st.sampled_from(["otel.traces", "otel.logs"]), st.lists(RANGES, min_size=1, max_size=5), NUMBERS)
def test_token_reads_back_as_its_insert(topic: str, ranges: list[OffsetRange], wall_ns: int) -> None:
    """Whoever has the token can build the insert again."""
    insert = PendingInsert(topic, tuple(ranges), wall_ns)
    assert PendingInsert.parse(insert.token) == insert


def test_token_is_legible() -> None:
    """It stands in PostgreSQL and in ClickHouse's logs for people to read."""
    insert = PendingInsert("otel.traces", (OffsetRange(0, 120, 180), OffsetRange(2, 77, 77)), 5)
    assert insert.token == "otel.traces:0:120-180,2:77-77@5"


@pytest.mark.parametrize("text", ["", "otel.traces", "otel.traces:0:1-2", "otel.traces:@5", "otel.traces:0:1-@5"])
def test_nonsense_is_no_token(text: str) -> None:
    """Rather than an insert of other rows."""
    with pytest.raises(ValueError, match="token"):
        PendingInsert.parse(text)
