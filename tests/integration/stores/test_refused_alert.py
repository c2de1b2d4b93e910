"""Who runs the product is told when much is refused, on a real PostgreSQL: nobody else says so any more."""

from __future__ import annotations

from typing import Any

from test_dead_letters_store import letter

from schemas.incidents import IncidentState
from schemas.settings import Settings
from sinks.postgres import alerts, dead_letters
from sinks.postgres.pool import Pool
from sinks.stores import Stores
from topologies.self_watch import REFUSED, SelfWatch


async def test_many_dead_letters_are_told_to_the_operator_and_their_end_too(pool: Pool) -> None:
    """Of all tenants together, in two looks; those of long ago do not count."""
    nothing: Any = None
    settings = Settings(operator_tenant="us", dead_letter_in_a_row=10, _env_file=None)
    watch = SelfWatch(nothing, settings, Stores(nothing, pool, nothing, nothing))

    async def told() -> list[tuple[IncidentState, str]]:
        for _ in range(2):
            await watch.judge_refused()
        stored = await alerts.page(pool, "us", incident_id=REFUSED, limit=10)
        return [(one.alert.state, one.alert.title) for one in stored]

    await dead_letters.store(pool, [letter(offset, tenant=f"t{offset % 2}") for offset in range(10)])
    assert await told() == []
    await dead_letters.store(pool, [letter(10)])
    assert await told() == [(IncidentState.OPEN, "11 dead letters in 10 minutes")]
    await pool.execute("UPDATE dead_letters SET stored_at = now() - interval '1 hour'")
    assert (await told())[0] == (IncidentState.RESOLVED, "0 dead letters in 10 minutes")
