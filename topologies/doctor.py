"""``incidentscope doctor``: look at everything the product depends on, and say what to do.

Each check is a function from the settings to findings; none changes anything. The embedded stack is used as it
runs, or started for the check and ended again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from deploy.embedded import EmbeddedStack, attached
from schemas.errors import SetupError, StoreError
from schemas.settings import Settings
from sinks.clickhouse import migrate as clickhouse_migrations
from sinks.clickhouse.client import ClickHouse
from sinks.kafka.topics import inspect_topics
from sinks.postgres import pool as postgres
from sinks.postgres.migrate import migration_state
from sinks.redis import open_redis
from sinks.redis import ping as ping_redis

LEAST_FREE_BYTES = 2 * 1024**3
LARGEST_CLOCK_SKEW_S = 2.0
OLDEST_POSTGRES = 14
PATIENCE_S = 15.0

BY_ITSELF = "(up and demo do it by themselves)"


class State(StrEnum):
    """How a thing is."""

    FINE = "ok"
    NOTE = "note"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing, and what to do about it."""

    about: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


async def examine(settings: Settings, tell: Callable[[str], None]) -> bool:
    """Run every check, tell each finding as a line, and return whether nothing is bad."""
    healthy = True
    async with _services(settings, tell) as filled:
        for check in (check_machine, check_broker, check_postgres, check_redis, check_clickhouse, check_alerts):
            for finding in await _carefully(check, filled):
                tell(f"{finding.state.value:<5} {finding.about:<11} {finding.detail}")
                if finding.remedy:
                    tell(f"{'':<18}-> {finding.remedy}")
                healthy = healthy and finding.state is not State.BAD
    tell("everything is fine" if healthy else "something needs you: see the lines marked BAD")
    return healthy


@asynccontextmanager
async def _services(settings: Settings, tell: Callable[[str], None]) -> AsyncIterator[Settings]:
    """Give settings with every address filled: from the running stack, or from one started for the check."""
    running = await asyncio.to_thread(attached, settings)
    if running is not None:
        tell(f"      stack       running on {settings.data_dir}: looking at it from outside")
        yield running
        return
    async with EmbeddedStack(settings) as filled:
        if filled != settings:
            tell(f"      stack       not running: its services on {settings.data_dir} are started for this check")
        yield filled


async def _carefully(check: Check, settings: Settings) -> list[Finding]:
    """Run a check; being unable to is a finding too."""
    about = check.__name__.removeprefix("check_")
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await check(settings)
    except SetupError as error:
        return [Finding(about, State.BAD, error.problem, error.remedy)]
    except StoreError as error:
        return [Finding(about, State.BAD, str(error), _reach(about))]
    except TimeoutError:
        return [Finding(about, State.BAD, f"no answer within {PATIENCE_S:.0f} s", _reach(about))]


def _reach(about: str) -> str:
    setting = {"broker": "KAFKA_BROKERS", "postgres": "POSTGRES_DSN", "redis": "REDIS_URL"}
    return f"is it running, and is INCIDENTSCOPE_{setting.get(about, 'CLICKHOUSE_DSN')} right (host, port, login)?"


async def check_machine(settings: Settings) -> list[Finding]:
    """Look at Python, the data folder and the disk."""
    return await asyncio.to_thread(_machine, settings)


def _machine(settings: Settings) -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    findings = [Finding("python", State.FINE, version)]
    folder = settings.data_dir.absolute()
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        remedy = "make it writable, or set INCIDENTSCOPE_DATA_DIR"
        findings.append(Finding("data folder", State.BAD, f"{folder} cannot be written", remedy))
        return findings
    free_bytes = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    state, remedy = State.FINE, ""
    if free_bytes < LEAST_FREE_BYTES:
        state, remedy = State.BAD, "free some space, or shorten INCIDENTSCOPE_RAW_RETENTION_DAYS"
    findings.append(Finding("data folder", state, f"{folder}, {free_bytes / 1024**3:.1f} GiB free", remedy))
    return findings


async def check_broker(settings: Settings) -> list[Finding]:
    """Look at the broker and at every topic of ours on it."""
    states = await inspect_topics(settings)
    findings = [Finding("broker", State.FINE, f"{settings.kafka_brokers} answers")]
    missing = [state.name for state in states if not state.partitions]
    wrong = [state for state in states if state.partitions and state.problem]
    findings += [Finding("topic", State.BAD, f"{state.name} {state.problem}", state.remedy) for state in wrong]
    if missing:
        detail = f"{len(missing)} of {len(states)} missing: {', '.join(missing[:3])}{', ...' * (len(missing) > 3)}"
        findings.append(Finding("topics", State.NOTE, detail, f"`incidentscope topics` {BY_ITSELF}"))
    elif not wrong:
        findings.append(Finding("topics", State.FINE, f"all {len(states)}, {settings.partitions} partitions each"))
    return findings


async def check_postgres(settings: Settings) -> list[Finding]:
    """Look at PostgreSQL: version, clock, migrations."""
    pool = await postgres.open_pool(settings, max_connections=1)
    try:
        version = await postgres.ping(pool)
        with postgres.translated("asking for the time"):
            skew_s = abs(float(await pool.fetchval("SELECT extract(epoch FROM clock_timestamp())")) - time.time())
        migrations = await migration_state(pool)
    finally:
        await pool.close()
    findings = [_version("postgres", version, OLDEST_POSTGRES), _clock("postgres", skew_s)]
    if migrations.unknown_versions:
        detail = f"migrated by a newer release (migrations {migrations.unknown_versions})"
        findings.append(Finding("postgres", State.NOTE, detail, "fine for a rollback; else upgrade this installation"))
    return [*findings, _pending("postgres", migrations.pending)]


async def check_redis(settings: Settings) -> list[Finding]:
    """Look at Redis or Valkey."""
    client = open_redis(settings)
    try:
        return [Finding("redis", State.FINE, f"version {await ping_redis(client)}")]
    finally:
        await client.aclose()


async def check_clickhouse(settings: Settings) -> list[Finding]:
    """Look at ClickHouse: version, what the raw landing needs, clock, migrations."""
    dsn = settings.clickhouse_dsn.get_secret_value()
    if not dsn:
        return [Finding("clickhouse", State.FINE, "embedded, open in the running stack (one process per folder)")]
    clickhouse = await ClickHouse.open(dsn, connections=1)
    try:
        version = str(await clickhouse.command("SELECT version()"))
        lands = await clickhouse.command("SELECT count() FROM system.settings WHERE name = 'format_schema_source'")
        skew_s = abs(float(await clickhouse.command("SELECT toUnixTimestamp64Milli(now64(3))")) / 1000 - time.time())
        pending = await clickhouse_migrations.pending(clickhouse)
    finally:
        await clickhouse.close()
    landing = Finding("clickhouse", State.FINE, f"version {version}")
    if not int(lands):
        detail = f"version {version} has no format_schema_source, which reading OTLP needs"
        landing = Finding(
            "clickhouse", State.BAD, detail, "upgrade ClickHouse (the version of docker-compose.yml works)"
        )
    return [landing, _clock("clickhouse", skew_s), _pending("clickhouse", pending)]


async def check_alerts(settings: Settings) -> list[Finding]:
    """Tell where alerts go."""
    if not settings.alert_webhook_url:
        remedy = "set INCIDENTSCOPE_ALERT_WEBHOOK_URL to post them somewhere"
        return [Finding("alerts", State.NOTE, "stored and on topic `alerts`, sent nowhere else", remedy)]
    if not settings.alert_webhook_secret.get_secret_value():
        remedy = "set INCIDENTSCOPE_ALERT_WEBHOOK_SECRET, so that the receiver can tell them from forgeries"
        return [Finding("alerts", State.BAD, "a webhook without a secret to sign with: no worker starts", remedy)]
    return [Finding("alerts", State.FINE, "posted to a webhook, signed")]


def _version(about: str, version: str, oldest: int) -> Finding:
    if int(version.split(".")[0]) < oldest:
        return Finding(about, State.BAD, f"version {version} is too old", f"upgrade to {oldest} or newer")
    return Finding(about, State.FINE, f"version {version}")


def _clock(about: str, skew_s: float) -> Finding:
    if skew_s > LARGEST_CLOCK_SKEW_S:
        remedy = "run NTP on both machines: windows and alerts go by these clocks"
        return Finding("clock", State.BAD, f"{skew_s:.1f} s between this machine and {about}", remedy)
    return Finding("clock", State.FINE, f"in step with {about}")


def _pending(about: str, names: list[str]) -> Finding:
    if names:
        detail = f"{len(names)} migrations to apply: {', '.join(names)}"
        return Finding(about, State.NOTE, detail, f"`incidentscope migrate` {BY_ITSELF}")
    return Finding(about, State.FINE, "tables are up to date")
