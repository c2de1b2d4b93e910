"""``incidentscope reconcile``: ask what became of everything, and show it as a table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx

from schemas.errors import SetupError, StoreUnavailable
from schemas.reconciling import Outcomes, Reconciliation
from schemas.settings import Settings
from sinks.api_keys import tenants_by_key
from sinks.clickhouse.client import ClickHouse
from sinks.reconciling import reconcile

API_TIMEOUT_S = 60.0

Tell = Callable[[str], None]


async def compare(settings: Settings, json_file: Path | None, tell: Tell) -> bool:
    """Show the reconciliation; return whether nothing is missing. Raises `SetupError`, `StoreUnavailable`."""
    dsn = settings.clickhouse_dsn.get_secret_value()
    found = await _directly(settings, dsn) if dsn else await _of_running_product(settings)
    show(found, tell)
    if json_file is not None:
        await asyncio.to_thread(json_file.write_text, found.model_dump_json(indent=2))
    return found.complete is not False


async def _directly(settings: Settings, dsn: str) -> Reconciliation:
    clickhouse = await ClickHouse.open(dsn, connections=1)
    try:
        return await reconcile(settings, clickhouse)
    finally:
        await clickhouse.close()


async def _of_running_product(settings: Settings) -> Reconciliation:
    """Ask the API of the product that runs on the data folder, with the operator's key."""
    keys = [key for key, tenant in tenants_by_key(settings).items() if tenant == settings.operator]
    if not keys:
        remedy = f"give tenant {settings.operator} a key in INCIDENTSCOPE_API_KEYS"
        raise SetupError("no API key belongs to the operator's tenant", remedy)
    url = f"http://{settings.api_host}:{settings.api_port}/api/v1/reconcile"
    try:
        async with httpx.AsyncClient(timeout=API_TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(url, headers={"Authorization": f"Bearer {keys[0]}"})
    except httpx.HTTPError as error:
        remedy = "start `incidentscope up`, or set the addresses of your services and INCIDENTSCOPE_API_PORT"
        raise SetupError(f"no product answers at {url} ({type(error).__name__})", remedy) from error
    if answer.status_code != httpx.codes.OK:
        raise StoreUnavailable(f"{url} answers {answer.status_code}")
    return Reconciliation.model_validate_json(answer.content)


def show(found: Reconciliation, tell: Tell) -> None:
    """Tell the reconciliation line by line."""
    tell(f"{'partition':<18}{'from':>12}{'floor':>12}{'end':>12}{'lag':>8}{'lag s':>8}  what became of them")
    for one in found.partitions:
        place = f"{one.topic}/{one.partition}"
        numbers = (
            f"{one.first_offset:>12}{one.floor_offset:>12}{one.end_offset:>12}{one.lag_records:>8}{one.lag_s:>8.1f}"
        )
        tell(f"{place:<18}{numbers}  {_outcomes(one.outcomes)}")
        for gap in one.gaps:
            tell(f"{'':<18}MISSING {gap.first_offset} to {gap.last_offset}, {gap.records} records: {gap.cause}")
    for tenant in found.tenants:
        delay = "" if tenant.ingest_delay_s is None else f", newest event {tenant.ingest_delay_s:.1f} s ago"
        tell(f"tenant {tenant.tenant or '-':<20} {tenant.topic:<14} {_outcomes(tenant.outcomes)}{delay}")
    tell("nothing is missing" if found.complete is not False else "something is missing: see the lines marked MISSING")


def _outcomes(outcomes: Outcomes) -> str:
    return ", ".join(f"{count} {name}" for name, count in outcomes.model_dump().items() if count) or "nothing"
