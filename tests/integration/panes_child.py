"""Prints the pane rows of one tenant: a folder of chDB can be opened by one process, and this one ends at once."""

from __future__ import annotations

import asyncio
import json
import sys

from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse

TABLES = ("service_panes", "operation_panes", "edge_panes")
OF_THE_RUN = "tenant, version, revision, stored_at"
"""Columns that may differ from run to run."""


async def main(tenant: str) -> None:
    """Print one line of JSON: table to sorted rows."""
    clickhouse = await ClickHouse.open(Settings(_env_file=None).clickhouse_dsn.get_secret_value())
    found = {}
    for table in TABLES:
        rows = await clickhouse.query(
            f"SELECT * EXCEPT ({OF_THE_RUN}) FROM {table} FINAL WHERE tenant = {{tenant:String}} ORDER BY ALL",
            {"tenant": tenant},
        )
        found[table] = [{name: str(value) for name, value in row.items()} for row in rows]
    await clickhouse.close()
    print(json.dumps(found))  # noqa: T201  # how it reports to the test


asyncio.run(main(sys.argv[1]))
