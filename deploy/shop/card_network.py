"""The card network behind payments, a host that sends no telemetry."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.shop.switch import Effect, FaultState, follow
from deploy.shop.wiring import CARD_NETWORK, Wiring

MEDIAN_ANSWER_S = 0.025
DECLINED_SHARE = 0.01
HANGS_S = 3600.0
"""Much longer than any client waits."""


class CardNetwork:
    """Authorises charges after a moment; while it hangs, some are accepted and never answered."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._hang_share = 0.0

    def follow(self, state: FaultState) -> None:
        """Take over what is switched on."""
        self._hang_share = state.of(Effect.HANG, CARD_NETWORK)

    async def authorise(self, request: Request) -> Response:
        """Say whether a card may be charged."""
        hangs = self._chance.random() < self._hang_share
        await asyncio.sleep(HANGS_S if hangs else MEDIAN_ANSWER_S * self._chance.lognormvariate(0.0, 0.25))
        return JSONResponse({"authorised": self._chance.random() >= DECLINED_SHARE})


async def run(fd: int) -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    wiring = Wiring.from_environment()
    network = CardNetwork(random.Random(f"{wiring.seed} cards"))  # noqa: S311 - not a secret
    app = Starlette(routes=[Route("/authorisations", network.authorise, methods=["POST"])])
    options = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    watch = asyncio.create_task(follow(wiring, network.follow, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    await uvicorn.Server(options).serve(sockets=[socket.socket(fileno=fd)])
    watch.cancel()


def main() -> None:
    """Read the command line and run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    given = arguments.parse_args()
    # uvicorn raises the signal that ended it once more: this turns it into a normal end
    signal.signal(signal.SIGTERM, lambda *_: None)
    asyncio.run(run(given.fd))
