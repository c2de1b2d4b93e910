"""The memory of the instances of one service: a row an instance, as it stood after each of the last panes.

Instants are numbers of panes since 1970 (0 is never), so that rows are small: 50 bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

_VERSION = 1
SIZES = 2
"""Sizes of a rise that are tried: sums of each instance."""
ROW = np.dtype(
    [
        ("first", "<u4"),  # pane of its first request since it was (re)started
        ("heard", "<u4"),  # pane of its last request
        ("requests", "<f4"),  # learned, with exponential forgetting
        ("slow", "<f4"),
        ("doubtful", "<f4"),  # requests since evidence left zero: learned when it turns out to be nothing
        ("doubtful_slow", "<f4"),
        ("rate", "<f4"),  # requests a pane
        ("missed", "<f4"),  # requests that should have come since it was heard last
        ("sums", "<f4", (SIZES,)),
        ("starts", "<u4", (SIZES,)),  # pane in which each sum left zero
        ("active", "?"),
        ("accepted", "?"),  # its habit was an alarm for too long: it is no measure for others
    ]
)
Rows = NDArray[Any]


@dataclass(slots=True)
class Snapshot:
    """How the instances stood after a pane. Rows are in the order of the memory's names; later names have none yet."""

    pane_ns: int
    rows: Rows
    worst: float
    """The worst habit of any instance: share of slow requests, at least (Wilson)."""
    began: int
    """The first pane with several instances, again after a long silence."""
    line_ms: float = 0.0
    """Slower requests are slow; 0 as long as it is not known."""

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [self.pane_ns, self.rows.tobytes(), self.worst, self.began, self.line_ms]

    @staticmethod
    def unpacked(body: list[Any]) -> Snapshot:
        """Read `packed` back."""
        pane_ns, raw, worst, began, line_ms = body
        return Snapshot(pane_ns, np.frombuffer(raw, ROW).copy(), worst, began, line_ms)


@dataclass(slots=True)
class SiblingMemory:
    """Names of instances, and snapshots (oldest first). Empty for a service that never had two."""

    pane_s: int = 0
    names: list[str] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)

    def encode(self) -> bytes:
        """Return the state as msgpack; nothing of a service without siblings."""
        if not self.snapshots:
            return b""
        body = [_VERSION, self.pane_s, self.names, [one.packed() for one in self.snapshots]]
        return bytes(msgpack.packb(body))

    @staticmethod
    def decode(raw: bytes | None) -> SiblingMemory:
        """Read `encode` back; nothing, or a state of another version, is a fresh start."""
        body: list[Any] = msgpack.unpackb(raw) if raw else [0]
        if body[0] != _VERSION:
            return SiblingMemory()
        return SiblingMemory(body[1], body[2], [Snapshot.unpacked(one) for one in body[3]])

    def number_of(self, pane_ns: int) -> int:
        """Return the number of a pane."""
        return pane_ns // (self.pane_s * 1_000_000_000)

    def measure(self, pane_s: int) -> None:
        """Begin anew where panes have another length: their numbers mean nothing any more."""
        if pane_s != self.pane_s:
            self.pane_s, self.names, self.snapshots = pane_s, [], []

    def judges(self, pane_ns: int, kept: int) -> bool:
        """Tell whether the pane can still be judged: the snapshots reach back to before it."""
        return len(self.snapshots) < kept or pane_ns > self.snapshots[0].pane_ns

    def before(self, pane_ns: int) -> Snapshot | None:
        """Return how things stood before this pane; None where nothing is known."""
        return next((one for one in reversed(self.snapshots) if one.pane_ns < pane_ns), None)

    def remember(self, snapshot: Snapshot, kept: int) -> None:
        """Keep the snapshot in place of one of the same pane; only the last few stay."""
        others = [one for one in self.snapshots if one.pane_ns != snapshot.pane_ns]
        self.snapshots = sorted([*others, snapshot], key=lambda one: one.pane_ns)[-kept:]

    def forget(self, oldest: int, most: int) -> None:
        """Drop the instances not heard of since pane `oldest`; of too many those heard longest ago."""
        newest = max(self.snapshots, key=lambda one: (len(one.rows), one.pane_ns))
        heard = newest.rows["heard"].astype(np.int64)
        if len(heard) <= most and heard.min() >= oldest:
            return
        latest = np.argsort(-heard, kind="stable")[:most]
        kept = np.sort(latest[heard[latest] >= oldest])
        self.names = [self.names[row] for row in kept]
        for one in self.snapshots:
            one.rows = one.rows[kept[kept < len(one.rows)]]
