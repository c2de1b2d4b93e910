"""What a statement had answered before it failed is nobody's answer."""

from __future__ import annotations

import pytest

from schemas.errors import StoreRejected
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse

BREAKS_OFF = "SELECT toUInt64(number + throwIf(number = 3)) AS n FROM numbers(9) SETTINGS max_block_size = 1"


async def test_rows_of_a_statement_that_broke_off_are_no_part_of_the_next_answer(
    stack: Settings, clickhouse: ClickHouse
) -> None:
    """They could be another tenant's: the next statement has the same connection."""
    one = await ClickHouse.open(stack.clickhouse_dsn.get_secret_value(), connections=1)
    for _ in range(2):
        with pytest.raises(StoreRejected, match="throwIf"):
            await one.query(BREAKS_OFF)
        assert await one.query("SELECT count() AS n FROM numbers(7)") == [{"n": 7}]
    await one.close()
    assert await clickhouse.query("SELECT 1 AS n") == [{"n": 1}]
