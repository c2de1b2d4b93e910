"""The users of the shop: open-loop seeded Poisson arrivals of short journeys.

Open loop: a slow shop does not slow the arrivals down, so a fault is seen by as many users as it would be.
The users send no telemetry, as browsers rarely do.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence

import httpx

from deploy.shop.switch import USERS, Effect, FaultState, follow
from deploy.shop.wiring import Wiring

PRODUCTS = 100
ACCOUNTS = 10_000
MAX_UNDER_WAY = 64
"""Journeys at the same time, many times what a healthy shop holds; beyond it an arrival is turned away.

Without a limit, one stall of a small machine would leave a queue that the shop never works off again.
"""

Step = tuple[str, str]
"""HTTP method and path."""


def browse(user: int, product: int) -> list[Step]:
    """Look at the home page."""
    return [("GET", f"/?user={user}")]


def look(user: int, product: int) -> list[Step]:
    """Look at one product."""
    return [("GET", f"/products/{product}")]


def buy(user: int, product: int) -> list[Step]:
    """Look at a product, put it into the cart and buy it."""
    return [("GET", f"/products/{product}"), ("POST", f"/cart/{user}/{product}"), ("POST", f"/checkout/{user}")]


JOURNEYS: tuple[tuple[Callable[[int, int], list[Step]], float], ...] = ((browse, 0.45), (look, 0.25), (buy, 0.30))
"""Each with its share of the arrivals."""


def arrivals(rate_per_s: Callable[[], float], chance: random.Random) -> AsyncIterator[list[Step]]:
    """Draw journeys and wait for the time of each; the same seed gives the same users, and gaps that fit the rate."""

    async def draw() -> AsyncIterator[list[Step]]:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        kinds, shares = zip(*JOURNEYS, strict=True)
        while True:
            due_s = max(due_s + chance.expovariate(rate_per_s()), loop.time() - 1.0)  # after a stall: no burst
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            (journey,) = chance.choices(kinds, shares)
            yield journey(chance.randrange(ACCOUNTS), 1 + chance.randrange(PRODUCTS))

    return draw()


class Users:
    """Everybody who is in the shop now."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._under_way: set[asyncio.Task[None]] = set()
        self.stopped = False
        self.factor = 1.0
        """By how much there are more users than usual."""

    def follow(self, state: FaultState) -> None:
        """Stay outside while traffic is stopped, come in numbers in a spike."""
        self.stopped = state.of(Effect.STOP, USERS) > 0
        self.factor = state.of(Effect.SPIKE, USERS) or 1.0

    def enter(self, journey: list[Step]) -> None:
        """Begin a journey, unless traffic is stopped or the shop is full."""
        if self.stopped or len(self._under_way) >= MAX_UNDER_WAY:
            return
        task = asyncio.create_task(self._walk(journey))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _walk(self, journey: list[Step]) -> None:
        """Go on to the next step only when the one before worked; give up like a user does."""
        with contextlib.suppress(httpx.HTTPError):
            for method, path in journey:
                response = await self._client.request(method, path)
                if response.is_error:
                    return


async def run() -> None:
    """Send users until SIGTERM, or until the parent is gone."""
    wiring = Wiring.from_environment()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    limits = httpx.Limits(max_connections=MAX_UNDER_WAY, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=_door(wiring.addresses["storefront"]), timeout=10.0, limits=limits) as client:
        users = Users(client)
        watch = asyncio.create_task(follow(wiring, users.follow, ended.set))
        send = asyncio.create_task(_send(users, wiring))
        await ended.wait()
        for task in (watch, send):
            task.cancel()


async def _send(users: Users, wiring: Wiring) -> None:
    chance = random.Random(wiring.seed)  # noqa: S311 - not a secret
    async for journey in arrivals(lambda: wiring.rate_per_s * users.factor, chance):
        users.enter(journey)


def _door(instances: Sequence[str]) -> str:
    [address] = instances
    return f"http://{address}"


def main() -> None:
    """Run until told to stop."""
    asyncio.run(run())
