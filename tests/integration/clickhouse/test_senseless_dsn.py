"""A DSN that cannot be read is told without being quoted: it holds the password."""

from __future__ import annotations

import traceback

import pytest

from schemas.errors import SetupError
from sinks.clickhouse.client import ClickHouse


@pytest.mark.parametrize("password", ["s3c/ret", "s3c#ret", "s3c?ret"])
async def test_a_password_that_ends_the_address_is_not_told(password: str) -> None:
    """What comes before the character was taken for a port, and told to be none."""
    with pytest.raises(SetupError) as refusal:
        await ClickHouse.open(f"clickhouse://user:{password}@127.0.0.1:1/db", connections=1)
    assert "INCIDENTSCOPE_CLICKHOUSE_DSN" in str(refusal.value)
    assert "s3c" not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("tail", ["127.0.0.1:port/db", "[::1/db", "127.0.0.1:1/db?bogus=1", "127.0.0.1:99999/db"])
async def test_any_other_senseless_dsn_is_a_matter_of_settings(tail: str) -> None:
    """And no bug of ours."""
    with pytest.raises(SetupError):
        await ClickHouse.open(f"clickhouse://user:secret@{tail}", connections=1)
