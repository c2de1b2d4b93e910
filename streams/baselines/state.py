"""The memory of one service's baseline: trailing panes by series, and the evidence after each of the last panes.

All series share the columns (one a pane), so medians of all of them are taken in one go. Encoded it stays below
80 KB: `history_panes` columns x (3 numbers a level, 2 a ratio) x at most 2 + 3 x `max_edges` series.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from schemas.events import SeriesKind
from streams.baselines.config import BaselineConfig
from streams.baselines.measures import SEPARATOR, SeriesKey

Floats = NDArray[np.float64]
_VERSION = 3
RATE_KEY = SeriesKey(SeriesKind.REQUEST_RATE).packed()


@dataclass(slots=True)
class Snapshot:
    """Where the evidence stood after a pane. Maps are by packed series key; drop is the traffic's."""

    pane_ns: int
    revision: int
    levels: dict[str, list[list[float]]] = field(default_factory=dict)
    ratios: dict[str, tuple[float, ...]] = field(default_factory=dict)
    drop: float = 0.0
    starts_ns: dict[str, list[int]] = field(default_factory=dict)
    """The pane in which each sum of a series left zero; 0 where it is zero."""
    leads_ns: dict[str, int] = field(default_factory=dict)
    """The start of the largest sum."""
    heard_ns: dict[str, int] = field(default_factory=dict)
    """Last pane that measured the series, of series with evidence."""
    active: set[str] = field(default_factory=set)
    fingerprint: int = 0
    """Of what was measured in the pane."""
    totals: dict[str, float] = field(default_factory=dict)
    """The largest sum of each series judged in this pane; not kept."""

    def since_ns(self, key: str) -> int | None:
        """Return when the episode of a series began; None when there is none."""
        return self.leads_ns.get(key) if key in self.starts_ns else None

    def copied(self, pane_ns: int, revision: int) -> Snapshot:
        """Return a copy to go on with in another pane."""
        return Snapshot(
            pane_ns, revision, dict(self.levels), dict(self.ratios), self.drop, dict(self.starts_ns),
            dict(self.leads_ns), dict(self.heard_ns), set(self.active),
        )  # fmt: skip

    def without(self, key: str) -> Snapshot:
        """Return the snapshot without what it says of one series."""
        rest = self.copied(self.pane_ns, self.revision)
        for table in (rest.levels, rest.ratios, rest.starts_ns, rest.leads_ns, rest.heard_ns):
            table.pop(key, None)
        rest.active.discard(key)
        rest.drop = 0.0 if key == RATE_KEY else self.drop
        return rest

    def packed(self) -> list[Any]:
        """As kept in the state: sums that are zero are not written."""
        return [
            self.pane_ns, self.revision, {k: v for k, v in self.levels.items() if k in self.starts_ns},
            {k: v for k, v in self.ratios.items() if k in self.starts_ns}, self.drop, self.starts_ns,
            {k: v for k, v in self.leads_ns.items() if k in self.starts_ns}, self.heard_ns, sorted(self.active),
            self.fingerprint,
        ]  # fmt: skip

    @staticmethod
    def unpacked(body: list[Any]) -> Snapshot:
        """Read `packed` back."""
        pane_ns, revision, levels, ratios, drop, starts, leads, heard, active, seen = body
        return Snapshot(pane_ns, revision, levels, ratios, drop, starts, leads, heard, set(active), seen)


@dataclass(slots=True)
class BaselineState:
    """Trailing panes (columns, oldest first) and snapshots (oldest first)."""

    pane_ns: list[int] = field(default_factory=list)
    requests: Floats = field(default_factory=lambda: np.zeros(0))
    levels: dict[str, Floats] = field(default_factory=dict)
    """By series: 2 x panes (median, 95th percentile), NaN where there was nothing or it was masked."""
    ratios: dict[str, Floats] = field(default_factory=dict)
    """By series: 2 x panes (hits, trials), zero where there was nothing or it was masked."""
    snapshots: list[Snapshot] = field(default_factory=list)
    talkative: bool = False
    """The service writes ordinary logs too: a pane without any log tells nothing about its errors."""

    def encode(self) -> bytes:
        """Return the state as msgpack (32-bit floats)."""
        body: dict[str, Any] = {
            "v": _VERSION,
            "t": self.talkative,
            "p": self.pane_ns,
            "n": _packed(self.requests),
            "l": {key: _packed(rows) for key, rows in self.levels.items()},
            "r": {key: _packed(rows) for key, rows in self.ratios.items()},
            "s": [snapshot.packed() for snapshot in self.snapshots],
        }
        return bytes(msgpack.packb(body))

    @staticmethod
    def decode(raw: bytes | None) -> BaselineState:
        """Read `encode` back; nothing, or a state of another version, is a fresh start."""
        if raw is None:
            return BaselineState()
        body = msgpack.unpackb(raw, strict_map_key=False)
        if body.get("v") != _VERSION:
            return BaselineState()
        width = len(body["p"])
        return BaselineState(
            pane_ns=list(body["p"]),
            requests=_unpacked(body["n"]),
            levels={key: _unpacked(rows).reshape(2, width) for key, rows in body["l"].items()},
            ratios={key: _unpacked(rows).reshape(2, width) for key, rows in body["r"].items()},
            snapshots=[Snapshot.unpacked(one) for one in body["s"]],
            talkative=bool(body["t"]),
        )  # fmt: skip

    def before(self, pane_ns: int) -> Snapshot:
        """Return the evidence as it stood before this pane."""
        earlier = [s for s in self.snapshots if s.pane_ns < pane_ns]
        return earlier[-1] if earlier else Snapshot(0, 0)

    def judges(self, pane_ns: int, config: BaselineConfig) -> bool:
        """Tell whether the pane can still be judged: the snapshots reach back to before it."""
        return len(self.snapshots) < config.kept_snapshots or pane_ns > self.snapshots[0].pane_ns

    def held(self, pane_ns: int) -> Snapshot | None:
        """Return the snapshot of a pane that was judged before."""
        return next((s for s in self.snapshots if s.pane_ns == pane_ns), None)

    def columns_before(self, pane_ns: int) -> int:
        """Return how many columns lie before this pane: the history that judges it."""
        return int(np.searchsorted(np.asarray(self.pane_ns, dtype=np.int64), pane_ns, side="left"))

    def clear_series(self, key: str) -> None:
        """Forget what was normal for one series."""
        self.levels.pop(key, None)
        self.ratios.pop(key, None)

    def blank(self, key: str, first: int) -> None:
        """Forget the columns of one series, or of the series of a pool, from `first` on."""
        kind, client, operation = key.split(SEPARATOR)
        pool = kind + SEPARATOR
        names = [
            name for name in self.levels if name == key or (not client and not operation and name.startswith(pool))
        ]
        for name in names:
            self.levels[name][:, first:] = np.nan
        if key in self.ratios:
            self.ratios[key][:, first:] = 0.0
        if key == RATE_KEY:
            self.requests[first:] = np.nan

    def learn(
        self, pane_ns: int, requests: float, levels: dict[SeriesKey, tuple[float, float]],
        ratios: dict[SeriesKey, tuple[int, int]], config: BaselineConfig,
    ) -> None:  # fmt: skip
        """Write the pane's column, replacing the one it had; the oldest falls off."""
        column = self._column(pane_ns)
        self.requests[column] = requests
        for rows in self.levels.values():
            rows[:, column] = np.nan
        for rows in self.ratios.values():
            rows[:, column] = 0.0
        for key, level in levels.items():
            self._row(self.levels, key, np.nan)[:, column] = level
        for key, ratio in ratios.items():
            self._row(self.ratios, key, 0.0)[:, column] = ratio
        self._trim(config)

    def remember(self, snapshot: Snapshot, config: BaselineConfig) -> None:
        """Keep the snapshot in place of one of the same pane; only the last few stay."""
        for key in [key for key in snapshot.starts_ns if not self._has(key)]:
            snapshot = snapshot.without(key)
        kept = [s for s in self.snapshots if s.pane_ns != snapshot.pane_ns]
        kept.append(snapshot)
        kept.sort(key=lambda s: s.pane_ns)
        self.snapshots = kept[-config.kept_snapshots :]

    def _has(self, key: str) -> bool:
        """Tell whether the series, or one of the pool that this key names, is remembered."""
        pool = key.endswith(SEPARATOR + SEPARATOR)
        return (
            key == RATE_KEY
            or key in self.levels
            or key in self.ratios
            or (pool and any(name.startswith(key[:-1]) for name in self.levels))
        )

    def _row(self, table: dict[str, Floats], key: SeriesKey, nothing: float) -> Floats:
        packed = key.packed()
        if packed not in table:
            table[packed] = np.full((2, len(self.pane_ns)), nothing)
        return table[packed]

    def _column(self, pane_ns: int) -> int:
        index = self.columns_before(pane_ns)
        if index < len(self.pane_ns) and self.pane_ns[index] == pane_ns:
            return index
        self.pane_ns.insert(index, pane_ns)
        self.requests = np.insert(self.requests, index, 0.0)
        self.levels = {key: np.insert(rows, index, np.nan, axis=1) for key, rows in self.levels.items()}
        self.ratios = {key: np.insert(rows, index, 0.0, axis=1) for key, rows in self.ratios.items()}
        return index

    def _trim(self, config: BaselineConfig) -> None:
        excess = max(0, len(self.pane_ns) - config.history_panes)
        self.pane_ns = self.pane_ns[excess:]
        self.requests = self.requests[excess:]
        levels = {key: rows[:, excess:] for key, rows in self.levels.items()}
        ratios = {key: rows[:, excess:] for key, rows in self.ratios.items()}
        known = {key: ~np.isnan(rows[0]) for key, rows in levels.items()}
        tried = {key: rows[1] > 0 for key, rows in ratios.items()}
        self.levels = {key: levels[key] for key in _latest(known, config.max_level_series)}
        self.ratios = {key: ratios[key] for key in _latest(tried, config.max_ratio_series)}


def _latest(measured: dict[str, NDArray[np.bool_]], most: int) -> list[str]:
    """Return the series that were measured last, sorted by name; of several the ones measured more often."""
    panes = {key: np.flatnonzero(row) for key, row in measured.items()}
    some = [key for key, found in panes.items() if found.size]
    return sorted(sorted(some, key=lambda key: (-int(panes[key][-1]), -panes[key].size, key))[:most])


def _packed(rows: Floats) -> bytes:
    return rows.astype("<f4").tobytes()


def _unpacked(raw: bytes) -> Floats:
    return np.frombuffer(raw, dtype="<f4").astype(np.float64)
