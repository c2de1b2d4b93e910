"""Loopback TCP ports that are free at this moment."""

from __future__ import annotations

import socket


def is_free(port: int) -> bool:
    """Tell whether a loopback TCP port can be listened on."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def any_free_port() -> int:
    """Return a loopback TCP port that is free at this moment."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return int(candidate.getsockname()[1])
