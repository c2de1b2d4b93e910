"""Stores that are away, slow, or cut off after they did what was asked: nothing is lost or doubled.

Every connection of the worker goes through a proxy; the producer and the test have their own. How fast a backlog is
worked off, and in how much memory, is measured in `test_backlogs`.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from fault_proxy import FaultProxy, Mode
from fleet import Fleet, Worker
from ledger import Ledger
from numbered_load import Load
from proxied_stores import SLOW_BYTES_PER_S, STORES, Proxied, is_request
from trial import Trial, produce

from sinks.kafka.topics import ensure_topics


async def away(proxy: FaultProxy, mode: Mode, store: str, worker: Worker) -> None:
    """Take the store away until the worker has noticed."""
    noticed = worker.last["retries"].get(store, 0)
    await proxy.set(mode)
    await worker.until(lambda told: told.last["retries"].get(store, 0) > noticed)
    await proxy.set(Mode.PASS)


async def cut(proxy: FaultProxy, store: str) -> None:
    """Drop two answers after the store has done what was asked."""
    cuts = proxy.cuts
    await proxy.set(Mode.CUT, cuts=2, when=is_request(store))
    await proxy.until_cuts(cuts + 2)


@pytest.mark.timeout(900)
async def test_outages_of_every_store_lose_and_double_nothing(proxied: Proxied, fleet: Fleet, tmp_path: Path) -> None:
    """While telemetry flows, each store refuses, is cut off after it did what was asked, falls silent, is slow."""
    await ensure_topics(proxied.direct)
    load = Load("acme", 4 * len(STORES) + 1, proxied.direct.partitions)
    trial = Trial(proxied.direct, load, fleet, tmp_path)
    worker = await fleet.start(proxied.settings)
    chunks = itertools.count(2)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        producing = asyncio.create_task(produce(proxied.direct, load, ledger, trial.gate))
        await trial.gate.open_to(1)
        await worker.until_ready()
        for store in STORES:
            proxy = proxied.proxies[store]
            await trial.gate.open_to(next(chunks))
            await away(proxy, Mode.REFUSE, store, worker)
            await trial.gate.open_to(next(chunks))
            await cut(proxy, store)
            await trial.gate.open_to(next(chunks))
            await away(proxy, Mode.BLACKHOLE, store, worker)
            await proxy.set(Mode.DELAY, delay_s=0.3)
            await trial.gate.open_to(next(chunks))
        for store, proxy in proxied.proxies.items():
            await proxy.set(Mode.THROTTLE, bytes_per_s=SLOW_BYTES_PER_S[store])
        await trial.gate.open_all()
        await producing
        outcome = await trial.look(ledger, worker)
    await worker.kill()
    assert not outcome.pane_differences, outcome.shown
    assert (outcome.account.lost, outcome.account.doubled) == (0, 0), outcome.account.examples
