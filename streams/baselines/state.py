"""The memory of one service's baseline: trailing panes by series, and the evidence after each of the last panes.

Encoded it stays below 124 KB: `history_panes` columns x 2 numbers x the most series there may be, and the notes. While
all of them deviate there are 120 KB of evidence more, and 50 of what was normal (`kept_panes` x 3 numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from streams.baselines.config import BaselineConfig
from streams.baselines.history import Erasure, History
from streams.baselines.hour_cells import HourCells
from streams.baselines.hour_notes import HourNotes
from streams.baselines.measures import RATE_KEY, SEPARATOR
from streams.baselines.newcomers import Newcomers
from streams.baselines.normals import Normals, known_panes

_VERSION = 5


@dataclass(slots=True)
class Snapshot:
    """Where the evidence stood after a pane. Maps are by packed series key; drop is the traffic's."""

    pane_ns: int
    revision: int
    levels: dict[str, list[list[float]]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
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
    talkative: bool = False
    """The service writes ordinary logs too: a pane without any log tells nothing about its errors."""
    masked: dict[str, list[float]] = field(default_factory=dict)
    """Of ratios under suspicion: hits and trials of the panes that were not learned, the later the more they count."""
    refuted: set[str] = field(default_factory=set)
    """Ratios that became normal though more was believed of them, until they have no failures left."""
    usual_calls: dict[str, list[float]] = field(default_factory=dict)
    """Of operations with missing calls: what was usual before (share of all requests, what a missing one is worth)."""
    totals: dict[str, float] = field(default_factory=dict)
    """The largest sum of each series judged in this pane; not kept."""

    def since_ns(self, key: str) -> int | None:
        """Return when the episode of a series began; None when there is none."""
        return self.leads_ns.get(key) if key in self.starts_ns else None

    def largest(self, key: str) -> float:
        """Return the largest sum of a level or a ratio; 0 where there is none."""
        sums = self.ratios.get(key) or [total for track in self.levels.get(key, []) for total in track]
        return max(sums, default=0.0)

    def copied(self, pane_ns: int, revision: int) -> Snapshot:
        """Return a copy to go on with in another pane."""
        return Snapshot(
            pane_ns, revision, dict(self.levels), dict(self.ratios), self.drop, dict(self.starts_ns),
            dict(self.leads_ns), dict(self.heard_ns), set(self.active), talkative=self.talkative,
            masked=dict(self.masked), refuted=set(self.refuted), usual_calls=dict(self.usual_calls),
        )  # fmt: skip

    def without(self, key: str) -> Snapshot:
        """Return the snapshot without what it says of one series."""
        rest = self.copied(self.pane_ns, self.revision)
        rest.fingerprint = self.fingerprint
        rest.drop_evidence(key)
        return rest

    def drop_evidence(self, key: str) -> None:
        """Forget, in place, what is said of one series: its sums, its beginning, its alarm."""
        for table in (self.levels, self.ratios, self.starts_ns, self.leads_ns, self.heard_ns, self.masked):
            table.pop(key, None)
        self.usual_calls.pop(key, None)
        self.active.discard(key)
        if key == RATE_KEY:
            self.drop = 0.0

    def keep_only_evidence(self) -> None:
        """Drop what is said of series whose sums are all zero."""
        for table in (self.levels, self.ratios, self.leads_ns, self.usual_calls):
            for key in table.keys() - self.starts_ns.keys():
                del table[key]

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [
            self.pane_ns, self.revision, self.levels, self.ratios, self.drop, self.starts_ns, self.leads_ns,
            self.heard_ns, sorted(self.active), self.fingerprint, self.talkative, self.masked,
            sorted(self.refuted), self.usual_calls,
        ]  # fmt: skip

    @staticmethod
    def unpacked(body: list[Any]) -> Snapshot:
        """Read `packed` back, also one from before ratios became normal for good."""
        pane_ns, revision, levels, ratios, drop, starts, leads, heard, active, seen, talkative, *rest = body
        masked, refuted, calls = (*rest, {}, (), {})[:3] if not rest else (*rest, {})[:3]
        return Snapshot(
            pane_ns, revision, levels, ratios, drop, starts, leads, heard, set(active), seen, talkative, masked,
            set(refuted), calls,
        )  # fmt: skip


@dataclass(slots=True)
class BaselineState:
    """Trailing panes, snapshots (oldest first), and what is noted for the hours of the week.

    The cells of those hours are large and rarely change, so they are kept apart: `encode` leaves them out.
    """

    history: History = field(default_factory=History)
    snapshots: list[Snapshot] = field(default_factory=list)
    notes: HourNotes = field(default_factory=HourNotes)
    normals: Normals = field(default_factory=Normals)
    hours: HourCells = field(default_factory=HourCells)
    newcomers: Newcomers = field(default_factory=Newcomers)

    def encode(self) -> bytes:
        """Return the state as msgpack (32-bit floats)."""
        snapshots = [snapshot.packed() for snapshot in self.snapshots]
        body: dict[str, Any] = {"v": _VERSION, "h": self.history.packed(), "s": snapshots, "w": self.notes.packed()}
        body["k"], body["o"] = self.normals.packed(), self.newcomers.packed()
        return bytes(msgpack.packb(body))

    @staticmethod
    def decode(raw: bytes | None, hours: HourCells | None = None) -> BaselineState:
        """Read `encode` back; nothing, or a state of another version, is a fresh start, but for the `hours`."""
        hours = hours or HourCells()
        body: dict[str, Any] = msgpack.unpackb(raw, strict_map_key=False) if raw else {}
        if body.get("v") != _VERSION:
            return BaselineState(hours=hours)
        notes = HourNotes.unpacked(body["w"]) if "w" in body else HourNotes()
        snapshots = [Snapshot.unpacked(one) for one in body["s"]]
        state = BaselineState(History.unpacked(body["h"]), snapshots, notes, Normals.unpacked(body.get("k", [])), hours)
        state.newcomers = Newcomers(body.get("o"))
        if "o" not in body:  # a state of before they were kept: what it knows was there
            state.newcomers.see((name.split(SEPARATOR)[2] for name in state.history.levels.rows), 0)
        return state

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

    def erase(self, by_ns: int, key: str, first_ns: int, end_ns: int) -> None:
        """Let columns of one series, or of all series of a pool, count no more for panes after `by_ns`."""
        for name in self.members(key):
            self.history.erase(Erasure(by_ns, name, first_ns, end_ns))

    def members(self, key: str) -> list[str]:
        """Return a series, and of a pool those it is made of."""
        kind, client, operation = key.split(SEPARATOR)
        is_pool = not client and not operation
        members = [name for name in self.history.levels.rows if name.startswith(kind + SEPARATOR)] if is_pool else []
        return list(dict.fromkeys([key, *members]))

    def keep_normal(self, by_ns: int, name: str, config: BaselineConfig) -> None:
        """Keep what counts of a series after a pane, unless it is kept already."""
        if self.normals.before(name, by_ns + 1) is None:
            past = self.history.counted(name, RATE_KEY, by_ns + 1, config.history_panes)
            self.normals.keep(by_ns, name, past, config.kept_panes)

    def release_normals(self, by_ns: int, active: set[str], config: BaselineConfig) -> None:
        """Keep no longer what is known anew, or was not asked for in so long; of series that do not deviate."""
        names = self.normals.names(by_ns + 1)
        deviating = {name for key in active for name in self.members(key)} if names else set()
        for name in names:
            kept = self.normals.before(name, by_ns + 1)
            if kept is None or name in deviating:
                continue
            past = self.history.counted(name, RATE_KEY, by_ns + 1, config.history_panes)
            is_old = by_ns - kept.by_ns > 2 * config.rebaseline_s * 1e9
            if is_old or known_panes(past) >= kept.cells.shape[1]:
                self.normals.release(by_ns, name)

    def remember(self, snapshot: Snapshot, pane_s: int, config: BaselineConfig) -> None:
        """Keep the snapshot in place of one of the same pane; only the last few stay, what is older is settled."""
        snapshot.keep_only_evidence()
        kept = [s for s in self.snapshots if s.pane_ns != snapshot.pane_ns]
        kept.append(snapshot)
        kept.sort(key=lambda s: s.pane_ns)
        self.snapshots = kept[-config.kept_snapshots :]
        if len(self.snapshots) == config.kept_snapshots:
            self.history.settle(self.snapshots[0].pane_ns, RATE_KEY)
            self.notes.settle(self.snapshots[0].pane_ns, pane_s, self.hours)
            self.normals.settle(self.snapshots[0].pane_ns, config.max_level_series + config.max_ratio_series)
        most = config.history_panes + config.kept_snapshots
        self.history.trim(most, config.max_level_series, config.max_ratio_series)
