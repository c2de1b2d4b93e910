"""Keeping dead letters where people find them.

::

    dead-letters ─▶ take ─▶ PostgreSQL dead_letters (awaited) ─▶ floor
                     └─ now and then: forget what is too old, or too much of one tenant

The topic is the record of what was refused; the table is what of it can be listed, looked at and replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from faust.types import TP
from pydantic import ValidationError

from schemas.dead_letters import DeadLetter
from schemas.topics import DEAD_LETTERS
from sinks.postgres.dead_letters import expire, store
from topologies import metrics
from topologies.app import add_stage
from topologies.lanes import Lane, Lanes
from topologies.parcels import Record
from topologies.patience import LaneEndedError, insist
from topologies.progressing import Pacer
from topologies.wiring import Wiring

log = structlog.get_logger()

STAGE = "letters"
BATCH = 64
WITHIN_S = 0.5
EXPIRE_EVERY_S = 300.0


class Letters:
    """The stage that keeps dead letters."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._expire_due = Pacer(EXPIRE_EVERY_S)
        app = wiring.app
        self._lanes: Lanes[TP] = Lanes(
            STAGE, [DEAD_LETTERS.name], app.floors, app.generation, lambda partition: partition, app.committed
        )
        app.forget.append(self._lanes.clear)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent of the app."""
        topics = [DEAD_LETTERS.name]
        return add_stage(self._wiring.app, STAGE, topics, self.handle, batch=BATCH, within_s=WITHIN_S, channel=channel)

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch of letters."""
        pool = self._wiring.stores.postgres
        for lane, records in self._lanes.split(events):
            with suppress(LaneEndedError):
                letters = [letter for record in records if (letter := _read(record)) is not None]
                await insist("postgres", "letters", partial(store, pool, letters), self._lanes.wanted(lane))
                await self._expire(lane)
                self._lanes.report(lane, None)

    async def _expire(self, lane: Lane[TP]) -> None:
        if not self._expire_due.due():
            return
        pool, settings = self._wiring.stores.postgres, self._wiring.settings
        days, kept = settings.dead_letter_retention_days, settings.dead_letters_kept
        forgotten = await insist("postgres", "expire", lambda: expire(pool, days, kept), self._lanes.wanted(lane))
        for tenant, count in forgotten.items():
            metrics.LETTERS_FORGOTTEN.labels(metrics.tenant_label(tenant)).inc(count)
            log.warning("dead_letters_forgotten", tenant=tenant, count=count, kept=kept)


def _read(record: Record) -> DeadLetter | None:
    """Read our own record; one that cannot be read is a loss to be seen, not to die of."""
    try:
        return DeadLetter.model_validate_json(record.value or b"")
    except ValidationError as error:
        log.error("letter_unreadable", offset=record.offset, error=error.error_count())
        return None
