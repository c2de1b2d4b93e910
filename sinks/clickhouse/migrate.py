"""Brings a ClickHouse database to the schema this version writes: the numbered files of ``migrations/``, in order.

A file is applied once. Its checksum is recorded; a file that changed after it was applied is refused, because what
the tables look like would then depend on when they were made. A line ``-- let NAME = TEXT`` stands for ``${NAME}``
in the rest of its file (ClickHouse has no type aliases). Statements end with ``;`` at the end of a line.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from string import Template

from schemas.errors import SetupError
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse

HOURS_NEED_DAYS = 35
"""What hours of the week are learned from: four weeks that count, and some to spare."""

HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = MergeTree ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, name, text, and the statements in it."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        """Return the statements with their ``let`` names filled in and comment lines left out."""
        names: dict[str, str] = {}
        for name, text in re.findall(r"^-- let (\w+) = (.+)$", self.text, re.MULTILINE):
            names[name] = Template(text).substitute(names)
        sql = Template(re.sub(r"^\s*--.*\n", "", self.text, flags=re.MULTILINE)).substitute(names)
        return [part.strip() for part in re.split(r";\s*\n", sql + "\n") if part.strip()]


def migrations() -> list[Migration]:
    """Return the migrations of this version in order."""
    files = resources.files("sinks.clickhouse").joinpath("migrations").iterdir()
    names = sorted(file.name for file in files if file.name.endswith(".sql"))
    return [Migration(int(name.split("_")[0]), name, _text(name)) for name in names]


async def migrate(clickhouse: ClickHouse, settings: Settings | None = None) -> list[str]:
    """Apply what is missing, set how long rows are kept, and return the names of the files applied now.

    Safe to call again and after a crash: statements of a half applied file are skipped where their object exists.
    Raises `SetupError` when an applied file is not what it was.
    """
    await clickhouse.command(HISTORY)
    applied = {row["number"]: row for row in await clickhouse.query("SELECT number, checksum FROM schema_migrations")}
    done = []
    for migration in migrations():
        if migration.number in applied:
            _insist_on_unchanged(migration, applied[migration.number]["checksum"])
            continue
        for statement in migration.statements():
            await clickhouse.command(_repeatable(statement))
        await clickhouse.insert_rows(
            "schema_migrations",
            ["number", "name", "checksum"],
            [[migration.number, migration.name, migration.checksum]],
        )
        done.append(migration.name)
    await keep_for(clickhouse, settings or Settings())
    return done


async def pending(clickhouse: ClickHouse) -> list[str]:
    """Return the names of the migrations that this database lacks."""
    exists = await clickhouse.command("EXISTS TABLE schema_migrations")
    rows = await clickhouse.query("SELECT number FROM schema_migrations") if exists else []
    applied = {row["number"] for row in rows}
    return [migration.name for migration in migrations() if migration.number not in applied]


async def keep_for(clickhouse: ClickHouse, settings: Settings) -> None:
    """Set each table's TTL to what the settings say, where it differs."""
    raw = f"{settings.raw_retention_days} DAY"
    panes = f"{settings.pane_retention_hours} HOUR"
    wanted = {
        "spans": raw,
        "trace_times": raw,
        "logs": raw,
        "metric_points": raw,
        "rejected_items": raw,
        "landed_records": raw,
        "offset_accounts": raw,
        "service_panes": panes,
        "pane_revisions": panes,
        "operation_panes": panes,
        "edge_panes": panes,
        "signature_panes": panes,
        "service_minutes": f"{settings.minute_retention_days} DAY",
        "operation_minutes": f"{min(settings.minute_retention_days, HOURS_NEED_DAYS)} DAY",
        "edge_minutes": f"{min(settings.minute_retention_days, HOURS_NEED_DAYS)} DAY",
    }
    tables = await clickhouse.query(
        "SELECT name, create_table_query AS ddl FROM system.tables "
        "WHERE database = currentDatabase() AND name IN {names:Array(String)}",
        {"names": list(wanted)},
    )
    for table in tables:
        count, unit = wanted[table["name"]].split()
        if f"TTL stored_at + toInterval{unit.title()}({count})" not in table["ddl"]:
            await clickhouse.command(
                f"ALTER TABLE {table['name']} MODIFY TTL stored_at + INTERVAL {count} {unit}",
                settings={"materialize_ttl_after_modify": 0},
            )


def _text(name: str) -> str:
    return resources.files("sinks.clickhouse").joinpath("migrations", name).read_text(encoding="utf-8")


def _repeatable(statement: str) -> str:
    return re.sub(r"^CREATE (TABLE|MATERIALIZED VIEW|VIEW) (?!IF NOT)", r"CREATE \1 IF NOT EXISTS ", statement)


def _insist_on_unchanged(migration: Migration, checksum: str) -> None:
    if migration.checksum != checksum:
        raise SetupError(
            f"ClickHouse migration {migration.name} is not the file that was applied to this database.",
            "Install the version that made the database, or start with an empty database.",
        )
