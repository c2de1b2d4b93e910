"""Prints how often each raw item is stored: chDB's folder can be opened by one process, and this one ends at once."""

from __future__ import annotations

import asyncio
import json

from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse

IDS = {
    "spans": "kafka_partition, kafka_offset, item",
    "logs": "kafka_partition, kafka_offset, item",
    "metric_points": "kafka_partition, kafka_offset, item",
    "rejected_items": "topic, kafka_partition, kafka_offset, item",
    "landed_records": "topic, kafka_partition, kafka_offset",
}
"""What names one row of each table."""


async def main() -> None:
    """Print one line of JSON: of each table how many rows, and how many different ones."""
    clickhouse = await ClickHouse.open(Settings(_env_file=None).clickhouse_dsn.get_secret_value())
    found = {}
    for table, names in IDS.items():
        [row] = await clickhouse.query(f"SELECT count() AS stored, uniqExact({names}) AS different FROM {table}")
        found[table] = row
    [row] = await clickhouse.query("SELECT count() AS stored, uniqExact(trace_id) AS different FROM trace_times FINAL")
    await clickhouse.close()
    print(json.dumps(found | {"trace_times": row}))  # noqa: T201  # how it reports to the test


asyncio.run(main())
