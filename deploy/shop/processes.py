"""The shop as a whole: open it, break it, repair it, close it.

::

    async with Shop(folder, postgres_dsn, otlp) as shop:   # database made, all services answer, load runs
        rolled_out = await shop.inject(FAULTS["cpu"])      # releases, for whoever announces them
        await shop.repair(FAULTS["cpu"])
    # all processes ended; also when this process is killed (each looks for its parent, see switch.follow)
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from deploy.shop.children import Children, end
from deploy.shop.database import create_database, keep_locking, shop_dsn
from deploy.shop.faults import Fault, Release
from deploy.shop.identity import OtlpTarget, resource_environment
from deploy.shop.switch import FaultFile, FaultState
from deploy.shop.wiring import CARD_NETWORK, LANES, SERVICES, Wiring, lane, places

LOAD = "load"
PROXY = "proxy"
CARDS = "card-network"
FIRST_VERSIONS = {
    "storefront": "2.8.0", "catalog": "3.1.2", "pricing": "1.9.1", "recommendations": "0.7.3",
    "cart": "1.4.2", "checkout": "2.2.0", "payments": "5.0.4", "shipping": "1.1.0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rollout:
    """A version that has just gone live; whoever asked for it announces it."""

    service: str
    version: str
    kind: Literal["deploy", "rollback"]


class Shop:
    """The shop under load, as long as the context is open.

    ``folder`` takes the logs and the fault switch. Entering raises `SetupError` when a service does not start.
    """

    def __init__(
        self, folder: Path, postgres_dsn: str, otlp: OtlpTarget, *, rate_per_s: float = 6.0, seed: int = 1
    ) -> None:
        self.folder = folder.absolute()
        self.faults = FaultFile(self.folder / "faults.json")
        self.versions = dict(FIRST_VERSIONS)
        self.instances: dict[str, str] = {}
        """Place (see `places`) to the ``service.instance.id`` of the process there."""
        self._dsn = postgres_dsn
        self._otlp = otlp
        self._rate_per_s = rate_per_s
        self._seed = seed
        self._children = Children(self.folder)
        self._ports_of_killed: dict[str, int] = {}
        self._locks: dict[tuple[str, ...], asyncio.Task[None]] = {}

    @property
    def url(self) -> str:
        """Where a browser finds the shop."""
        return f"http://{self._children.address('storefront')}"

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.faults.write(FaultState())
        await create_database(self._dsn)
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def pid(self, process: str) -> int:
        """Return the process id of an instance, of `PROXY`, `CARDS` or `LOAD`."""
        return self._children.pid(process)

    def ended(self) -> dict[str, int]:
        """Return the processes that ended though nobody asked them to, with their exit codes."""
        return self._children.ended()

    async def inject(self, fault: Fault) -> list[Rollout]:
        """Begin a fault; return the releases that went live, to be announced."""
        for effect, target, strength in fault.effects:
            self.faults.switch(effect, target, strength)
        if fault.locked_tables:
            self._locks[fault.locked_tables] = asyncio.create_task(keep_locking(self._dsn, fault.locked_tables))
        if fault.killed:
            self._ports_of_killed[fault.killed] = await self._children.kill(fault.killed)
        await asyncio.gather(*(self.deploy(release) for release in fault.releases))
        return [Rollout(one.service, one.version, "deploy") for one in fault.releases]

    async def repair(self, fault: Fault) -> list[Rollout]:
        """End a fault: its effects go, its releases are rolled back, who was killed comes back."""
        for effect, target, _ in fault.effects:
            self.faults.switch(effect, target, 0.0)
        if fault.locked_tables:
            await _cancelled(self._locks.pop(fault.locked_tables))
        if fault.killed:
            self._children.listen(fault.killed, self._ports_of_killed.pop(fault.killed))
            service = next(service for service in SERVICES if fault.killed in places(service))
            await self._start_instance(service, fault.killed)
        back = [Release(one.service, FIRST_VERSIONS[one.service]) for one in fault.releases]
        await asyncio.gather(*(self.deploy(release) for release in back))
        return [Rollout(one.service, one.version, "rollback") for one in back]

    async def deploy(self, release: Release) -> None:
        """Replace a service, one instance after the other: the new one answers before the old one is told to stop."""
        self.versions[release.service] = release.version
        for place in self._places(release.service):
            await self._start_instance(release.service, place, release)

    async def _open(self) -> None:
        every = [(service, place) for service in SERVICES for place in places(service)]
        lanes = [lane(client, server) for client, server in LANES]
        for name in (CARDS, *lanes, *(place for _, place in every)):
            self._children.listen(name)
        outside = self._wiring().to_environment()
        await self._children.start(PROXY, ["deploy.shop.proxy"], outside, lanes)
        await self._children.start(CARDS, ["deploy.shop.card_network"], outside, [CARDS])
        await asyncio.gather(*(self._start_instance(service, place) for service, place in every))
        await self._children.start(LOAD, ["deploy.shop.load"], outside)

    async def _start_instance(self, service: str, place: str, release: Release | None = None) -> None:
        release = release or Release(service, self.versions[service])
        self.instances[place] = f"{place}-{release.version}-{os.urandom(3).hex()}"
        environment = {
            **self._wiring(service).to_environment(),
            **self._otlp.environment(),
            **resource_environment(service, release.version, self.instances[place]),
        }
        arguments = ["deploy.shop.service", service]
        arguments += ["--fail-share", str(release.fail_share), "--extra-s", str(release.extra_s)]
        before = await self._children.start(place, arguments, environment, [place])
        await self._children.until_ready(place)
        if before is not None:
            await end(before)

    def _wiring(self, client: str = "") -> Wiring:
        """Return what a process is to know; the lanes of ``client`` take the place of the services behind them."""
        address = self._children.address
        addresses = {service: [address(place) for place in self._places(service)] for service in SERVICES}
        addresses[CARD_NETWORK] = [address(CARDS)]
        addresses |= {server: [address(lane(one, server))] for one, server in LANES if one == client}
        return Wiring(addresses, shop_dsn(self._dsn), str(self.faults.path), self._rate_per_s, self._seed)

    def _places(self, service: str) -> list[str]:
        return [place for place in places(service) if place not in self._ports_of_killed]

    async def _close(self) -> None:
        """End the users first, so that no one sees the services go."""
        for task in self._locks.values():
            await _cancelled(task)
        await self._children.stop([LOAD])
        await self._children.stop_all()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
