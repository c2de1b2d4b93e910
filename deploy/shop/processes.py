"""Start, change and end the processes of the shop.

::

    async with Shop(folder, postgres_dsn, otlp) as shop:   # database made, all services answer, load runs
        await shop.switch("cpu", on=True)
    # all processes ended; also when this process is killed (each looks for its parent, see faults.follow)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import asyncpg
import httpx

from deploy.shop.faults import BAD_RELEASE, FaultFile, FaultState
from deploy.shop.wiring import SERVICES, SLOW_LANE, Wiring
from schemas.errors import SetupError

DATABASE = "shop"
READY_PATIENCE_S = 60.0
STOP_PATIENCE_S = 6.0
LOAD = "load"
FIRST_VERSIONS = {
    "storefront": "2.8.0", "catalog": "3.1.2", "pricing": "1.9.1", "recommendations": "0.7.3",
    "cart": "1.4.2", "checkout": "2.2.0", "payments": "5.0.4", "shipping": "1.1.0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where the shop's telemetry goes: an OTLP/HTTP receiver and the headers it wants."""

    endpoint: str
    headers: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """Return it as the standard variables; batches leave after a second, metrics every ten."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": ",".join(f"{name}={quote(value)}" for name, value in self.headers.items()),
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
            "OTEL_BLRP_SCHEDULE_DELAY": "1000",
            "OTEL_METRIC_EXPORT_INTERVAL": "10000",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
        }


class Shop:
    """The shop under load, as long as the context is open.

    ``folder`` takes the logs and the fault switch. Entering raises `SetupError` when a service does not start.
    """

    def __init__(
        self, folder: Path, postgres_dsn: str, otlp: OtlpTarget, *, rate_per_s: float = 12.0, seed: int = 1
    ) -> None:
        self.folder = folder.absolute()
        self.faults = FaultFile(self.folder / "faults.json")
        self.versions = dict(FIRST_VERSIONS)
        self._dsn = postgres_dsn
        self._otlp = otlp
        self._rate_per_s = rate_per_s
        self._seed = seed
        self._listeners: dict[str, socket.socket] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @property
    def url(self) -> str:
        """Where a browser finds the shop."""
        return f"http://{_address(self._listeners['storefront'])}"

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.faults.write(FaultState())
        await create_database(self._dsn)
        try:
            await self._start_services()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def pid(self, process: str) -> int:
        """Return the process id of a service, of `SLOW_LANE` or of `LOAD`."""
        return self._processes[process].pid

    def ended(self) -> dict[str, int]:
        """Return the processes that ended though nobody asked them to, with their exit codes."""
        return {name: p.returncode for name, p in self._processes.items() if p.returncode is not None}

    async def switch(self, fault: str, *, on: bool) -> None:
        """Turn a fault on or off; ``deploy-errors`` rolls the bad release out, or back."""
        if fault != "deploy-errors":
            self.faults.switch(fault, on)
            return
        service, version, fail_share = BAD_RELEASE
        await self.deploy(service, version if on else FIRST_VERSIONS[service], fail_share if on else 0.0)

    async def deploy(self, service: str, version: str, fail_share: float = 0.0) -> None:
        """Replace a service by another version: the new process answers before the old one is told to stop."""
        old = self._processes[service]
        self.versions[service] = version
        await self._start_service(service, fail_share)
        await self._until_ready(service)
        old.send_signal(signal.SIGTERM)
        await _until_ended(old)

    async def _start_services(self) -> None:
        for name in (*SERVICES, SLOW_LANE):
            self._listeners[name] = socket.create_server(("127.0.0.1", 0), backlog=512)
        await asyncio.gather(*(self._start_service(service) for service in SERVICES))
        await self._start(SLOW_LANE, ["deploy.shop.proxy", "payments", "--fd", self._fd(SLOW_LANE)])
        await asyncio.gather(*(self._until_ready(service) for service in SERVICES))
        await self._start(LOAD, ["deploy.shop.load"])

    async def _start_service(self, service: str, fail_share: float = 0.0) -> None:
        arguments = ["deploy.shop.service", service, "--fd", self._fd(service), "--fail-share", str(fail_share)]
        await self._start(service, arguments, self._resource(service))

    async def _start(self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None) -> None:
        listener = self._listeners.get(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *arguments,
                env={**os.environ, **self._wiring().to_environment(), **(environment or {})},
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[listener.fileno()] if listener else [],
                start_new_session=True,  # a Ctrl-C is ours to handle, the children are told in good order
            )  # fmt: skip

    def _resource(self, service: str) -> dict[str, str]:
        version = self.versions[service]
        instance = f"{service}-{version}-{os.urandom(3).hex()}"
        attributes = {
            "service.namespace": "shop",
            "service.version": version,
            "service.instance.id": instance,
            "deployment.environment.name": "demo",
        }
        variables = {
            **self._otlp.environment(),
            "OTEL_SERVICE_NAME": service,
            "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in attributes.items()),
        }
        if service == "checkout":  # so that both kinds of histogram, and both temporalities, are in the demo
            variables["OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"] = "base2_exponential_bucket_histogram"
        if service == "payments":
            variables["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = "delta"
        return variables

    def _wiring(self) -> Wiring:
        addresses = {name: _address(listener) for name, listener in self._listeners.items()}
        return Wiring(addresses, shop_dsn(self._dsn), str(self.faults.path), os.getpid(), self._rate_per_s, self._seed)

    def _fd(self, name: str) -> str:
        return str(self._listeners[name].fileno())

    async def _until_ready(self, service: str) -> None:
        url = f"http://{_address(self._listeners[service])}/ready"
        process = self._processes[service]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_PATIENCE_S), httpx.AsyncClient(headers={"Connection": "close"}) as client:
                while process.returncode is None:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(url, timeout=2.0)).json()["pid"] == process.pid:
                            return
                    await asyncio.sleep(0.1)
        raise SetupError(f"shop service {service} does not start", f"read {self.folder / service}.log")

    async def _stop(self) -> None:
        """End the users first, so that no one sees the services go."""
        load = self._processes.pop(LOAD, None)
        for processes in ([load] if load else [], list(self._processes.values())):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            await asyncio.gather(*(_until_ended(process) for process in processes))
        for listener in self._listeners.values():
            listener.close()


async def create_database(postgres_dsn: str) -> None:
    """Create the shop's own database beside the one of ``postgres_dsn``, with its tables and goods."""
    server = await asyncpg.connect(postgres_dsn)
    try:
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await server.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await server.close()
    connection = await asyncpg.connect(shop_dsn(postgres_dsn))
    try:
        await connection.execute(files("deploy.shop").joinpath("schema.sql").read_text())
    finally:
        await connection.close()


def shop_dsn(postgres_dsn: str) -> str:
    """Return the address of the shop's database on the server of ``postgres_dsn``."""
    return urlsplit(postgres_dsn)._replace(path=f"/{DATABASE}").geturl()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"{host}:{port}"


async def _until_ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_PATIENCE_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
