"""Loopback TCP ports that are free at this moment, and that no outgoing connection takes in the next."""

from __future__ import annotations

import random
import socket

FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below what Linux (32768) and the IANA (49152, RFC 6335 section 6) give to outgoing connections.

A port of theirs may be taken between being chosen and being listened on, and a client that waits there for its server
may be connected with itself.
"""

_TRIES = 200


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
    """Return a loopback TCP port that is free at this moment. Raises `OSError` when none is found."""
    dice = random.SystemRandom()
    for _ in range(_TRIES):
        if is_free(port := dice.randint(FIRST_PORT, LAST_PORT)):
            return port
    raise OSError(f"no free TCP port between {FIRST_PORT} and {LAST_PORT}")
