"""The course of a demo: warm up, break something, watch, compare with the truth, repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from deploy.shop.faults import Fault
from deploy.shop.processes import Rollout, Shop
from deploy.shop.wiring import SERVICES
from schemas.errors import SetupError
from topologies.demo.front_door import FrontDoor, ListedIncident, SeenIncident, opened_in_calm
from topologies.demo.receiver import AlertReceiver
from topologies.demo.screen import Screen, number_of
from topologies.demo.verdict import Verdict

T = TypeVar("T")

LOOK_EVERY_S = 2.0
WARM_UP_PATIENCE_S = 1200.0
DETECT_PATIENCE_S = 270.0
"""A fault not found by then is missed: the limit by which recordings are scored (docs/recordings.md)."""
RECOVERY_PATIENCE_S = 600.0
ENDED_STATES = ("resolved", "closed")


@dataclass
class SpanRate:
    """Spans a second that arrive at the product, from its own counter."""

    count: float = 0.0
    read_s: float = field(default_factory=time.monotonic)
    per_s: float = 0.0

    def update(self, count: float) -> float:
        """Take a new reading."""
        read_s = time.monotonic()
        if read_s - self.read_s >= LOOK_EVERY_S:
            self.per_s = max(0.0, (count - self.count) / (read_s - self.read_s))
            self.count, self.read_s = count, read_s
        return self.per_s


class Story:
    """One demo; `tell` goes through a fault from calm to verdict, `repair` back to calm."""

    def __init__(self, door: FrontDoor, shop: Shop, receiver: AlertReceiver, screen: Screen) -> None:
        self._door = door
        self._shop = shop
        self._receiver = receiver
        self._screen = screen
        self._spans = SpanRate()
        self.false_alarms: set[str] = set()
        """Incidents that were opened while nothing was wrong, up to the instant of an injection."""
        self._calm_since_ns = time.time_ns()

    async def warm_up(self) -> None:
        """Wait until every service has a reliable baseline and no incident is open.

        Raises `SetupError` when that does not come about.
        """
        self._screen.phase(
            "warming up: the product learns what is normal, until every baseline is reliable (about 4 minutes)"
        )
        begun_ns = self._calm_since_ns = time.time_ns()

        async def calm() -> bool | None:
            seen = {one.service: one for one in await self._door.services()}
            reliable = [name for name in SERVICES if name in seen and seen[name].baseline == "reliable"]
            opened = await self._door.incidents(begun_ns)
            self._count_false_alarms(opened)
            waiting = [name for name in SERVICES if name not in reliable]
            still_open = [one for one in opened if one.state not in ENDED_STATES]
            hint = f", waiting for {', '.join(waiting)}" if 0 < len(waiting) < len(SERVICES) else ""
            hint += ", waiting for an incident to end" if still_open else ""
            self._screen.status(
                f"{await self._span_rate():.0f} spans/s, baselines reliable: {len(reliable)} of {len(SERVICES)}{hint}"
            )
            return None if waiting or still_open else True

        if await self._until(calm, WARM_UP_PATIENCE_S) is None:
            raise SetupError(
                f"the baselines are not reliable after {WARM_UP_PATIENCE_S / 60:.0f} minutes",
                "read incidentscope.log in the data folder, and run `incidentscope doctor`",
            )

    async def tell(self, fault: Fault) -> Verdict:
        """Inject a fault and watch until people were told, or patience ends; return the verdict."""
        self._screen.phase(f"fault {fault.name}: {fault.what}")
        self._screen.incident(None, fault)
        injected_s, injected_ns = time.monotonic(), time.time_ns()
        await self._inject(fault)
        verdict = await self._watch(fault, injected_s, injected_ns)
        await self._until(lambda: self._look_back(injected_ns), LOOK_EVERY_S)
        return verdict

    async def _watch(self, fault: Fault, injected_s: float, injected_ns: int) -> Verdict:
        """Watch what becomes of a fault; return the verdict."""
        incident_id = await self._until(lambda: self._opened(injected_ns), DETECT_PATIENCE_S)
        if incident_id is None:
            return Verdict(fault, None, None, None, None, DETECT_PATIENCE_S)
        opened_after_s = time.monotonic() - injected_s
        self._screen.say(f"incident opened {opened_after_s:.0f} s after the fault")

        async def told() -> bool | None:
            seen = await self._look(incident_id, fault)
            alert = self._receiver.first_of(incident_id)
            return True if alert is not None and seen.hypotheses else None

        await self._until(told, DETECT_PATIENCE_S - opened_after_s)
        seen = await self._look(incident_id, fault)
        alert = self._receiver.first_of(incident_id)
        alert_after_s = time.monotonic() - injected_s if alert else None
        self._screen.ranking(seen, fault)
        verdict = Verdict(fault, seen, opened_after_s, alert, alert_after_s, DETECT_PATIENCE_S)
        for line in verdict.lines():
            self._screen.say(line)
        return verdict

    async def repair(self, verdict: Verdict) -> None:
        """Take the fault away and watch the incident end."""
        fault, incident = verdict.fault, verdict.incident
        self._screen.phase(f"repaired: {fault.name} is switched off")
        repaired_s = time.monotonic()
        await self._announce(await self._shop.repair(fault))
        if incident is None:
            return

        async def ended() -> SeenIncident | None:
            seen = await self._look(incident.incident_id, fault)
            return seen if seen.state in ENDED_STATES else None

        seen = await self._until(ended, RECOVERY_PATIENCE_S)
        elapsed_s = time.monotonic() - repaired_s
        if seen is None:
            self._screen.say(f"{incident.name} is still open {elapsed_s:.0f} s after the repair")
        else:
            self._screen.say(f"{seen.name} {seen.state} {elapsed_s:.0f} s after the repair: {seen.resolve_reason}")

    async def keep_showing(self) -> None:
        """Show figures until cancelled."""
        while True:
            await self._until(self._figures, LOOK_EVERY_S)

    async def _inject(self, fault: Fault) -> None:
        await self._announce(await self._shop.inject(fault))

    async def _announce(self, rollouts: list[Rollout]) -> None:
        """Tell of what was just rolled out, as the last step of a deployment job does."""
        for one in rollouts:
            await self._door.announce_deploy(one.service, one.version, one.kind)
            self._screen.say(f"announced at POST /api/v1/deploys: {one.kind} of {one.service} {one.version}")

    async def _opened(self, injected_ns: int) -> str | None:
        await self._figures()
        opened = await self._door.incidents(injected_ns)
        return opened[0].incident_id if opened else None

    async def _look(self, incident_id: str, fault: Fault) -> SeenIncident:
        await self._figures()
        seen = await self._door.incident(incident_id)
        self._screen.incident(seen, fault)
        return seen

    async def _figures(self) -> None:
        seen = await self._door.services()
        entry = next((one.requests_per_s for one in seen if one.service == "storefront"), 0.0)
        alerts = len(self._receiver.alerts)
        self._screen.status(
            f"{await self._span_rate():.0f} spans/s, {entry:.1f} page views/s, {number_of(alerts, 'alert')} delivered"
        )

    async def _span_rate(self) -> float:
        return self._spans.update(await self._door.spans_received())

    async def _look_back(self, injected_ns: int) -> bool:
        """Count what was opened after the warm-up had ended, and before anything was wrong."""
        self._count_false_alarms(opened_in_calm(await self._door.incidents(), self._calm_since_ns, injected_ns))
        return True

    def _count_false_alarms(self, opened: list[ListedIncident]) -> None:
        for incident in opened:
            if incident.incident_id not in self.false_alarms:
                self.false_alarms.add(incident.incident_id)
                self._screen.say(f"a false alarm, as nothing is wrong: {incident.title}")

    async def _until(self, attempt: Callable[[], Awaitable[T | None]], patience_s: float) -> T | None:
        """Return the first thing ``attempt`` finds, None when patience ends; a busy API is asked again."""
        give_up_s = time.monotonic() + patience_s
        while time.monotonic() < give_up_s:
            if died := self._shop.ended():
                raise SetupError(f"a process of the shop ended: {died}", f"read the logs in {self._shop.folder}")
            try:
                found = await attempt()
            except httpx.HTTPError as error:
                self._screen.status(f"the API does not answer: {type(error).__name__}")
                found = None
            if found is not None:
                return found
            await asyncio.sleep(LOOK_EVERY_S)
        return None
