"""Keep the servers of an embedded stack, and end them when whoever started us is gone.

Run as a program with nothing but the standard library, so that it starts in milliseconds and outlives any
trouble of its parent. It takes orders as JSON lines on standard input: first the children to start (fields of
`Child`) and perhaps a command to run before they are stopped, later single children to stop or to start. The end
of standard input is the order to stop everything: a pipe closes however its writer ends, also by ``kill -9``.

::

    EmbeddedStack ══ stdin (open = alive) {"stop"|"start"} ══▶ keeper ──▶ broker, postgres, valkey
                  ◀═ stdout {"started"|"stopped"|"ended"} ════

On Linux the children are tied to the keeper as well (``PR_SET_PDEATHSIG``), so killing the keeper leaves none.

``keeper.py as UID GID COMMAND ...`` becomes that user and runs the command in place of itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
LINUX = sys.platform.startswith("linux")
BEFORE_STOP_PATIENCE_S = 60.0
STOP_PATIENCE_S = 15.0
WATCH_INTERVAL_S = 0.2


Children = dict[str, tuple[subprocess.Popen[bytes], dict[str, Any]]]
"""Running children by name, each with the order that started it."""


def main() -> None:
    """Start what the first line of standard input lists; stop it all when standard input ends."""
    if sys.argv[1:2] == ["as"]:
        become(int(sys.argv[2]), int(sys.argv[3]))
        os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 - the command comes from our own stack
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    children: Children = {}
    orders = read_orders()
    first: dict[str, Any] = next((order for order in orders if order is not None), {})
    try:
        for spec in first.get("children", []):
            add(children, spec)
        watch(children, orders)
        if first.get("before_stop"):
            for name in [name for name, (_, spec) in children.items() if spec["stops_first"]]:
                remove(children, name)
            finish(first["before_stop"])
    finally:
        stop_all(children)


def read_orders() -> Iterator[dict[str, Any] | None]:
    """Yield each line of standard input as it comes, and None while there is none; end with standard input."""
    unread = b""
    while True:
        try:
            readable, _, _ = select.select([0], [], [], WATCH_INTERVAL_S)
            received = os.read(0, 65536) if readable else None
        except OSError:  # closed by our own SIGTERM handler
            return
        if received == b"":
            return
        unread += received or b""
        *lines, unread = unread.split(b"\n")
        yield from map(json.loads, lines)
        yield None


def watch(children: Children, orders: Iterator[dict[str, Any] | None]) -> None:
    """Follow orders until standard input ends; meanwhile report each child that ends by itself."""
    for order in orders:
        for name in [name for name, (process, _) in children.items() if process.poll() is not None]:
            say({"ended": name, "status": children.pop(name)[0].returncode})
        if order is not None and "stop" in order:
            remove(children, order["stop"])
            say({"stopped": order["stop"]})
        if order is not None and "start" in order:
            add(children, order["start"])


def add(children: Children, spec: dict[str, Any]) -> None:
    """Start a child and say so."""
    children[spec["name"]] = (start(spec), spec)
    say({"started": spec["name"], "pid": children[spec["name"]][0].pid})


def remove(children: Children, name: str) -> None:
    """Stop one child, if it runs."""
    if name in children:
        stop_all({name: children.pop(name)})


def finish(spec: dict[str, Any]) -> None:
    """Run the last command while the children still serve, for a limited time."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        start(spec).wait(BEFORE_STOP_PATIENCE_S)


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
    with open(spec["log"], "ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command comes from our own stack
            spec["argv"],
            cwd=spec["cwd"],
            env={**os.environ, **spec.get("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: prepare(spec),  # safe: this process has one thread
        )


def prepare(spec: dict[str, Any]) -> None:
    """Make ready, in the child and before exec: the right user, and an end when the keeper ends."""
    if spec["uid"] is not None:
        become(spec["uid"], spec["gid"])
    if LINUX:  # after the change of user, which forgets it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.Signals[spec["stop_signal"]]), 0, 0, 0)


def become(uid: int, gid: int) -> None:
    """Change from root to another user who, on Linux, may still pass every folder.

    The data folder and the installation may lie below a folder of root that is closed to others (/root, say), and
    opening such a folder is not for us. One capability, CAP_DAC_READ_SEARCH, is kept for that.
    """
    libc = ctypes.CDLL(None)
    if LINUX:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if LINUX:
        only = 1 << CAP_DAC_READ_SEARCH
        libc.capset(struct.pack("Ii", CAPABILITY_VERSION_3, 0), struct.pack("6I", only, only, only, 0, 0, 0))
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)


def stop_all(children: Children) -> None:
    """Ask every child to stop in its own way, wait, and kill what stays."""
    for process, spec in children.values():
        if process.poll() is None:
            process.send_signal(signal.Signals[spec["stop_signal"]])
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
