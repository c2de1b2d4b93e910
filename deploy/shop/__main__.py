"""Run the shop alone, against any OTLP/HTTP receiver and PostgreSQL: ``python -m deploy.shop --help``.

Faults are switched by typing ``NAME on`` and ``NAME off``, any number at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from deploy.shop.faults import FAULTS
from deploy.shop.identity import OtlpTarget
from deploy.shop.processes import Shop


async def run(given: argparse.Namespace) -> None:
    """Serve until standard input ends or Ctrl-C."""
    headers = dict(header.split("=", 1) for header in given.header)
    target = OtlpTarget(given.endpoint, headers)
    async with Shop(given.folder, given.postgres, target, rate_per_s=given.rate, seed=given.seed) as shop:
        print(f"the shop is open at {shop.url}; faults: {', '.join(FAULTS)}", flush=True)  # noqa: T201 - a program
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        async for line in commands:
            fault, _, state = line.decode().strip().partition(" ")
            if fault in FAULTS:
                await (shop.inject if state == "on" else shop.repair)(FAULTS[fault])
                print(f"{fault} {state}: {FAULTS[fault].what}", flush=True)  # noqa: T201


def main() -> None:
    """Read the command line and run."""
    arguments = argparse.ArgumentParser(prog="python -m deploy.shop", description=__doc__)
    arguments.add_argument("--postgres", required=True, help="postgresql://user:password@host:port/database")
    arguments.add_argument("--endpoint", default="http://127.0.0.1:4318", help="root URL of the OTLP/HTTP receiver")
    arguments.add_argument("--header", action="append", default=[], help="NAME=VALUE sent with all telemetry")
    arguments.add_argument("--folder", type=Path, default=Path(".incidentscope/shop"))
    arguments.add_argument("--rate", type=float, default=6.0, help="journeys a second")
    arguments.add_argument("--seed", type=int, default=1)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(arguments.parse_args()))


if __name__ == "__main__":
    main()
