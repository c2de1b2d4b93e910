"""Numbered migrations: applied in order, once, recorded with their checksum, by one process at a time.

All pending files run in one transaction under an advisory lock: either the schema is the new one or nothing
has changed. A database that is ahead of this release is left alone, so that the release before can be put
back; migrations therefore only add.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg

from schemas.errors import SetupError
from sinks.postgres.pool import Connection, Pool, translated

ADVISORY_LOCK = 7_221_046_359_001
"""Any number that nobody else in the database uses."""

MIGRATION_TIMEOUT_S = 300.0

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, its statements."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Checksum of the statements, as recorded in the database."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationState:
    """What a database has: applied and pending names, and versions only a newer release knows."""

    applied: list[str]
    pending: list[str]
    unknown_versions: list[int]


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """Read the migrations of ``folder`` (ours by default) in order.

    Raises `SetupError` for a gap or a number given twice.
    """
    folder = folder or resources.files("sinks.postgres") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name))
    found = [Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names]
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise SetupError("the migrations are not numbered 1, 2, 3, ...", f"look at {folder}")
    return found


async def migrate(pool: Pool, steps: list[Migration] | None = None) -> list[str]:
    """Apply what is pending and return the names applied; a second process waits, then finds nothing to do.

    Raises `SetupError` when an applied file was changed afterwards, or when pgvector is not there.
    """
    steps = migrations() if steps is None else steps
    with translated("migrating"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK, timeout=MIGRATION_TIMEOUT_S)
            await connection.execute(_RECORD)
            pending = _pending(steps, await _recorded(connection))
            for step in pending:
                await _apply(connection, step)
    return [step.name for step in pending]


async def migration_state(pool: Pool) -> MigrationState:
    """Compare the database with our files, changing nothing. Raises as `migrate` does."""
    steps = migrations()
    with translated("looking at the migrations"):
        async with pool.acquire() as connection:
            exists = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
            recorded = await _recorded(connection) if exists else {}
    pending = _pending(steps, recorded)
    return MigrationState(
        applied=[step.name for step in steps if step not in pending],
        pending=[step.name for step in pending],
        unknown_versions=sorted(recorded.keys() - {step.version for step in steps}),
    )


async def _recorded(connection: Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT version, sha256 FROM schema_migrations")
    return {row["version"]: row["sha256"] for row in rows}


def _pending(steps: list[Migration], recorded: dict[int, str]) -> list[Migration]:
    for step in steps:
        if recorded.get(step.version, step.sha256) != step.sha256:
            raise SetupError(
                f"the database was migrated with another {step.name} than this release has",
                "install the release that made the database; a migration must never be edited after it was applied",
            )
    return [step for step in steps if step.version not in recorded]


async def _apply(connection: Connection, step: Migration) -> None:
    try:
        await connection.execute(step.sql, timeout=MIGRATION_TIMEOUT_S)
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError) as error:
        raise SetupError(
            f"PostgreSQL has no pgvector extension ({error.args[0]})",
            "install pgvector on the server (image pgvector/pgvector, package postgresql-NN-pgvector) and try again",
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise SetupError(
            f"the PostgreSQL user may not do what {step.name} does ({error.args[0]})",
            "let an administrator run CREATE EXTENSION vector, and make our user the owner of the database",
        ) from error
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
        step.version,
        step.name,
        step.sha256,
    )
