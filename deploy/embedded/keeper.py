"""Keep the servers of an embedded stack, and end them when whoever started us is gone.

Run as a program with nothing but the standard library, so that it starts in milliseconds and outlives any
trouble of its parent. It reads one JSON line (a list of `Child` fields) from standard input, starts them all,
and from then on treats the end of standard input as the order to stop: a pipe closes however its writer
ends, also by ``kill -9``. Each child that ends is reported as a JSON line on standard output.

::

    EmbeddedStack ══ stdin (open = alive) ══▶ keeper ──▶ broker, postgres, valkey
                  ◀═ stdout {"started"|"ended"} ══

On Linux the children are tied to the keeper as well (``PR_SET_PDEATHSIG``), so killing the keeper leaves none.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
STOP_PATIENCE_S = 15.0
WATCH_INTERVAL_S = 0.2


def main() -> None:
    """Start what the first line of standard input lists; stop it all when standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    children: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
    try:
        for spec in json.loads(read_line()):
            children[spec["name"]] = (start(spec), signal.Signals[spec["stop_signal"]])
        say({"started": {name: process.pid for name, (process, _) in children.items()}})
        watch(children)
    finally:
        stop_all(children)


def read_line() -> bytes:
    """Read one line from standard input without reading ahead."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 65536)
        if not byte:
            raise SystemExit(0)
        line += byte
    return line


def start(spec: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start one child in its own session, logging to its file, as another user when one is named."""
    user = spec.get("uid")
    as_user: dict[str, Any] = {} if user is None else {"user": user, "group": spec["gid"], "extra_groups": []}
    with open(spec["log"], "ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command comes from our own stack
            spec["argv"],
            cwd=spec["cwd"],
            env={**os.environ, **spec.get("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(spec["stop_signal"]),  # safe: one thread
            **as_user,
        )


def die_with_parent(stop_signal: str) -> Any:
    """Return what a child runs before exec so that it ends when the keeper dies (Linux; elsewhere None)."""
    if not sys.platform.startswith("linux"):
        return None
    libc, number = ctypes.CDLL(None), int(signal.Signals[stop_signal])

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)

    return ask


def watch(children: dict[str, tuple[subprocess.Popen[bytes], int]]) -> None:
    """Return when standard input ends; meanwhile report each child that ends."""
    ended: set[str] = set()
    while True:
        for name, (process, _) in children.items():
            if name not in ended and process.poll() is not None:
                ended.add(name)
                say({"ended": name, "status": process.returncode})
        try:
            readable, _, _ = select.select([0], [], [], WATCH_INTERVAL_S)
            if readable and not os.read(0, 1024):
                return
        except OSError:  # closed by our own SIGTERM handler
            return


def stop_all(children: dict[str, tuple[subprocess.Popen[bytes], int]]) -> None:
    """Ask every child to stop in its own way, wait, and kill what stays."""
    for process, stop_signal in children.values():
        if process.poll() is None:
            process.send_signal(stop_signal)
    deadline_s = time.monotonic() + STOP_PATIENCE_S
    for process, _ in children.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline_s - time.monotonic()))
        if process.poll() is None:
            process.kill()
            process.wait()


def say(fact: dict[str, Any]) -> None:
    """Write one JSON line to standard output; nobody listening any more is fine."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(fact).encode() + b"\n")


if __name__ == "__main__":
    main()
