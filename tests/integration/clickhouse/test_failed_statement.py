"""What a statement had answered before it failed is nobody's answer."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest

from schemas.errors import StoreRejected, StoreUnavailable
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


async def test_what_could_not_be_sent_is_let_go_of_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """While ClickHouse is away every attempt fails; the errors of the HTTP client hold each other until collected."""
    for logger in ("clickhouse_connect", "urllib3"):
        caplog.set_level(logging.CRITICAL, logger)  # else what is captured holds the errors
    large = np.zeros(1 << 20, np.uint8)
    alive = weakref.ref(large)

    def pieces(block: Any) -> Generator[bytes]:
        yield block.tobytes()

    nowhere = ClickHouse("http://127.0.0.1:9", connections=1)
    gc.collect()
    gc.disable()
    try:
        with suppress(StoreUnavailable):
            await nowhere.insert_pieces("t", partial(pieces, large), "Native")
        del large
        await nowhere.close()  # its thread lets go of the call
        assert alive() is None
    finally:
        gc.enable()
