"""The connection pool, and what PostgreSQL's errors mean to us."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import asyncpg

from schemas.errors import SetupError, StoreRejected, StoreUnavailable
from schemas.settings import Settings

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

COMMAND_TIMEOUT_S = 10.0

_LATER_CLASSES = ("08", "40", "53", "57", "58")
"""SQLSTATE classes that may pass: connection, rollback (deadlock), resources, operator intervention, I/O error."""
_LATER_CODES = ("25006", "55P03")
"""A standby during fail-over (read only), a lock that was not to be had."""


async def open_pool(settings: Settings, *, max_connections: int = 10) -> Pool:
    """Make a pool that connects when first used, so a store that is away does not stop a start.

    Raises `SetupError` when the DSN is missing or of another store; what else is wrong with it shows at first use.
    """
    dsn = settings.postgres_dsn.get_secret_value()
    if not dsn:
        raise SetupError("no PostgreSQL is set", _DSN_REMEDY)
    if not _DSN.match(dsn):
        raise _unreadable_dsn()
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_connections,
        command_timeout=COMMAND_TIMEOUT_S,
        timeout=5.0,
        server_settings={"application_name": "incidentscope"},
    )


_HOST = r"(\[[^]]*\]|[^:,/?#\[\]]*)(:[0-9]+)?"
_DSN = re.compile(rf"postgres(ql)?://([^/?#]*@)?{_HOST}(,{_HOST})*([/?#]|$)")
_DSN_REMEDY = (
    "set INCIDENTSCOPE_POSTGRES_DSN=postgresql://user:password@host:5432/database (special characters percent-encoded)"
)


def _unreadable_dsn() -> SetupError:
    """Say so without quoting it: it holds the password."""
    return SetupError("the PostgreSQL DSN cannot be read", _DSN_REMEDY)


async def ping(pool: Pool) -> str:
    """Return the server's version. Raises `StoreUnavailable` or `StoreRejected` (a wrong password, say)."""
    with translated("asking for the version"):
        return str(await pool.fetchval("SHOW server_version"))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the driver's errors into `StoreUnavailable` (try again) and `StoreRejected` (never).

    A DSN that the driver cannot read is a `SetupError`.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        # Only the primary message: DETAIL quotes row values.
        message = f"PostgreSQL, {doing}: {error.sqlstate} {error.args[0] if error.args else type(error).__name__}"
        state = error.sqlstate or ""
        if state[:2] in _LATER_CLASSES or state in _LATER_CODES:
            raise StoreUnavailable(message) from error
        raise StoreRejected(message) from error
    except asyncpg.ClientConfigurationError:
        raise _unreadable_dsn() from None
    except (asyncpg.DataError, asyncpg.InternalClientError, asyncpg.UnsupportedClientFeatureError) as error:
        raise StoreRejected(f"PostgreSQL, {doing}: {type(error).__name__}") from error
    except (asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"PostgreSQL, {doing}: {type(error).__name__}: {error}") from error
