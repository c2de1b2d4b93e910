"""Find services by their names, as DNS and a service mesh would: ``http://catalog/…`` goes to one of its instances."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import httpx


class NamedHosts(httpx.AsyncBaseTransport):
    """Sends each request to an instance of the host it names, in turns; one that refuses is tried again next time.

    It lies under the instrumentation: spans and ``Host`` headers tell names, not ports. Clients so plain are common,
    and with them a dead instance is seen.
    """

    def __init__(self, addresses: Mapping[str, Sequence[str]], limits: httpx.Limits) -> None:
        self._turns = {host: itertools.cycle(instances) for host, instances in addresses.items()}
        self._carrier = httpx.AsyncHTTPTransport(limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on. Raises `httpx.ConnectError` when the instance whose turn it is does not listen."""
        if (turns := self._turns.get(request.url.host)) is not None:
            host, _, port = next(turns).rpartition(":")
            request = httpx.Request(
                request.method, request.url.copy_with(host=host, port=int(port)), headers=request.headers,
                stream=request.stream, extensions=request.extensions,
            )  # fmt: skip
        return await self._carrier.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._carrier.aclose()
