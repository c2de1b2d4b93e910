"""The memory of the instances of one service: a row an instance, as it stood after each of the last panes.

Instants are numbers of panes since 1970 (0 is never), so that rows are small: 92 bytes each. What is kept by kind of
hit is in the order of `streams.siblings.kinds.KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from streams.siblings.kinds import KINDS, SIZES
from streams.siblings.slow_only import read_slow_only

_VERSION = 2
_EACH = (len(KINDS),)
ROW = np.dtype(
    [
        ("first", "<u4"),  # pane of its first request since it was (re)started
        ("heard", "<u4"),  # pane of its last request
        ("rate", "<f4"),  # requests a pane
        ("missed", "<f4"),  # requests that should have come since it was heard last
        ("requests", "<f4", _EACH),  # learned, with exponential forgetting
        ("hits", "<f4", _EACH),  # of those, beyond what its siblings' share would make: below 0 is less
        ("doubtful", "<f4", _EACH),  # requests since evidence left zero: learned when it turns out to be nothing
        ("doubtful_hits", "<f4", _EACH),
        ("doubtful_usual", "<f4", _EACH),  # hits that its siblings' share would have made of them
        ("sums", "<f4", (*_EACH, SIZES)),
        ("starts", "<u4", (*_EACH, SIZES)),  # pane in which each sum left zero
        ("active", "?", _EACH),
        ("accepted", "?", _EACH),  # its habit was an alarm for too long: it is no measure for others
    ]
)
Rows = NDArray[Any]


@dataclass(slots=True)
class Snapshot:
    """How the instances stood after a pane. Rows are in the order of the memory's names; later names have none yet.

    Rows of a state that was read back are not written to.
    """

    pane_ns: int
    rows: Rows
    worst: list[float]
    """By kind, the worst habit of any instance: share of its requests, at least (Wilson)."""
    began: list[int]
    """By kind, the first pane in which several instances were compared, again after a long silence."""
    line_ms: float = 0.0
    """Slower requests are slow; 0 as long as it is not known."""

    def copied(self, instances: int) -> Rows:
        """Return a copy of the rows that can be written to, with empty ones for later instances."""
        raw = bytearray(instances * ROW.itemsize)
        raw[: len(self.rows) * ROW.itemsize] = self.rows.tobytes()
        return np.frombuffer(raw, ROW)

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [self.pane_ns, self.rows.tobytes(), self.worst, self.began, self.line_ms]

    @staticmethod
    def unpacked(body: list[Any]) -> Snapshot:
        """Read `packed` back."""
        pane_ns, raw, worst, began, line_ms = body
        return Snapshot(pane_ns, np.frombuffer(raw, ROW), worst, began, line_ms)


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
        """Read `encode` back; nothing is a fresh start. A state of version 1 knew slow requests alone."""
        body: list[Any] = msgpack.unpackb(raw) if raw else [0]
        if body[0] == 1:
            body = read_slow_only(body, ROW)
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
