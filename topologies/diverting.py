"""Stop rather than divert everything: the worker's end when nearly all of a topic is refused by our own fault.

::

    what became of each record ─▶ DiversionFold ─▶ over the limit? ─▶ Probe refused, too ─▶ the worker ends

Asked after the letters of a batch are confirmed and before its floor moves: what is read again is diverted again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.errors import IncidentScopeError
from streams.diversion import Diversion, DiversionFold, DiversionLimits
from topologies.probing import Probe


class DivertingError(IncidentScopeError):
    """Nearly everything goes to the dead letters, and good telemetry too: a person should look before more does."""


class Diverting:
    """The limits of one topic in one worker."""

    def __init__(self, topic: str, limits: DiversionLimits, probe: Probe) -> None:
        self._topic = topic
        self._fold = DiversionFold(limits)
        self._probe = probe

    async def judge(self, refusals: Sequence[tuple[str, bool]], wanted: Callable[[], bool]) -> None:
        """Note what became of a batch's records. Raises `DivertingError` when it is our fault; `LaneEndedError`."""
        for tenant, is_refused in refusals:
            self._fold.step(tenant, is_refused)
        verdict = self._fold.verdict() if any(is_refused for _, is_refused in refusals) else None
        if verdict is not None and not await self._probe.passes(wanted, _explained(verdict)):
            raise DivertingError(
                f"{self._topic}: {_explained(verdict)} goes to the dead letters, and so does a good request of our own;"
                " look at `incidentscope dlq list` and at the log, and start again when it is mended"
            )


def _explained(verdict: Diversion) -> str:
    named = ", ".join(verdict.tenants[:5])
    return f"nearly everything of {len(verdict.tenants)} of {verdict.heard} tenants heard lately ({named})"
