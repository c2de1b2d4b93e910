"""Stop rather than divert everything: the worker's end when nearly all of a topic goes to the dead letters.

::

    what became of each record ─▶ DiversionFold ─▶ over the limit? ─▶ who else was there before? ─▶ the worker ends

Asked after the letters of a batch are confirmed and before its floor moves: what is read again is diverted again.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from schemas.errors import IncidentScopeError
from schemas.topics import TopicSpec
from sinks.clickhouse.raw_reads import landed_tenants
from streams.diversion import Diversion, DiversionFold, DiversionLimits
from topologies.patience import insist
from topologies.wiring import Wiring

log = structlog.get_logger()


class DivertingError(IncidentScopeError):
    """Too much goes to the dead letters: a person should look before more does."""


class Diverting:
    """The limits of one topic in one worker."""

    def __init__(self, wiring: Wiring, topic: TopicSpec) -> None:
        self._wiring = wiring
        self._topic = topic
        self._fold = DiversionFold(DiversionLimits.from_settings(wiring.settings))
        self._asked = False

    async def judge(self, refusals: Sequence[tuple[str, bool]]) -> None:
        """Note what became of a batch's records. Raises `DivertingError` when that is beyond the limits."""
        for tenant, is_refused in refusals:
            self._fold.step(tenant, is_refused)
        verdict = self._fold.verdict()
        if verdict is not None and not self._asked:
            self._asked = True
            clickhouse = self._wiring.stores.clickhouse
            self._fold.know(await insist("clickhouse", "tenants", lambda: landed_tenants(clickhouse), lambda: True))
            verdict = self._fold.verdict()
        if verdict is not None:
            raise DivertingError(self._explained(verdict))

    def _explained(self, verdict: Diversion) -> str:
        named = ", ".join(verdict.tenants[:5])
        return (
            f"{self._topic.name}: nearly everything of {len(verdict.tenants)} of {verdict.heard} tenants heard lately"
            f" ({named}) goes to the dead letters; look at `incidentscope dlq list`, then raise or switch off"
            " INCIDENTSCOPE_DEAD_LETTER_IN_A_ROW and _RATIO, or install a decoder that takes it, and start again"
        )
