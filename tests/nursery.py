"""Forks workers that have everything imported and compiled already, so that a restart costs milliseconds.

::

    test ══ stdin {"start": 3, "environment": {…}, "log": PATH} ══▶ nursery ──fork──▶ worker 3: topologies.run_worker
         ◀═ stdout {"worker": 3, "pid": …} {"worker": 3, "ready": …} {"worker": 3, "ended": -9} ═══════╛

A worker is a process like any other: it can be killed and stopped, and dies with the nursery. The nursery ends with
its standard input. An order may name a `saboteurs` function, which takes a guard away in that worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import inspect
import json
import os
import select
import signal
import sys
from typing import Any

import saboteurs
from worker_facts import counted, handled, inner_lag, raw_lag

from schemas.settings import Settings
from streams.warming import warm_up
from topologies import metrics
from topologies.worker import Worker, run_worker

PR_SET_PDEATHSIG = 1
LOOK_S = 0.02
REPORT_S = 0.05

reports: list[asyncio.Task[None]] = []


def say(fact: dict[str, Any]) -> None:
    """Write one line; lines this short are never mixed with those of others in the same pipe."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(fact).encode() + b"\n")


async def report(number: int, worker: Worker) -> None:
    """Say how the worker is whenever that has changed."""
    told: object = None
    while True:
        facts = worker.facts()
        line = {
            "worker": number,
            "ready": facts.ready,
            "partitions": facts.partitions,
            "raw_lag": raw_lag(worker),
            "inner_lag": inner_lag(worker),
            "handled": handled(),
            "retries": counted(metrics.STORE_RETRIES, "store"),
        }
        if line != told:
            told = line
            say(line)
        await asyncio.sleep(REPORT_S)


def work(number: int, environment: dict[str, str], log: str, saboteur: str) -> None:
    """Be a worker, in the fork. Returns when it has come to its end, in whatever way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = sys.stderr
    os.environ.update(environment)
    if saboteur:
        getattr(saboteurs, saboteur)()
    stop = asyncio.Event()

    def started(worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        reports.append(loop.create_task(report(number, worker)))

    asyncio.run(run_worker(Settings(_env_file=None), stop=stop, started=started))


def fork(order: dict[str, Any]) -> int:
    """Start a worker and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work(order["start"], order["environment"], order["log"], order["saboteur"])
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Follow orders until standard input ends."""
    warm_up()
    inspect.getframeinfo(sys._getframe())  # finds the path of every module, which Faust would for its first agent
    gc.collect()
    gc.freeze()
    say({"nursery": os.getpid()})
    numbers: dict[int, int] = {}
    unread = b""
    while True:
        if select.select([0], [], [], LOOK_S)[0]:
            received = os.read(0, 65536)
            if not received:
                return
            *lines, unread = (unread + received).split(b"\n")
            for order in map(json.loads, lines):
                pid = fork(order)
                numbers[pid] = order["start"]
                say({"worker": order["start"], "pid": pid})
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                say({"worker": numbers.pop(ended[0]), "ended": os.waitstatus_to_exitcode(ended[1])})


if __name__ == "__main__":
    main()
