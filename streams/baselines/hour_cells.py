"""What is usual at an hour of the week: 168 cells a series, each with what its last weeks were like.

A week's *visit* of an hour says how far the series went in it: the largest median of five minutes (of traffic the
smallest). Usual is what more than half of the known visits reached: of two weeks both, of three two, of four three
(their lower median; spread is the median absolute deviation around it). So one incident never becomes usual, and what
comes back every week does, though the trailing baseline called it a deviation and masked it.

A visit and track takes a byte, a series 168 x `weeks` x 2 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from streams.baselines.hour_codes import VALUES, Codes, encode, middle

Floats = NDArray[np.float64]
WEEK_H = 168
_VERSION = 1
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class HourConfig:
    """How hours of the week are learned and used."""

    weeks: int = 4
    """Visits of a cell that are kept, and how far back one counts."""
    least_visits: int = 2
    """A cell is reliable from so many on: two weeks of history."""
    segment_s: int = 300
    least_share: float = 1 / 3
    """A segment with fewer of its panes measured says nothing."""
    slack_s: int = 600
    """What is usual so much before or after counts, too: jobs start a little early or late."""
    zone_s: int = 0
    """Offset of the tenant's zone from UTC: a seam, hours are those of UTC."""
    max_series: int = 97
    """Series that have cells; of more, those measured longest ago are forgotten."""
    wilson_z: float = 1.645
    """Ratios are remembered by the lower end of their one-sided 95 % interval: few requests claim little."""

    def hour_of(self, instant_ns: int) -> int:
        """Return the number of the hour an instant lies in, since 1970; its cell is the rest by 168."""
        return (instant_ns // 1_000_000_000 + self.zone_s) // 3600


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for some series (series x tracks) in a pane; NaN where the cell is still learning."""

    values: Floats
    spread: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Tell by series whether its first track is known."""
        return ~np.isnan(self.values[:, 0])


Visit = tuple[int, float, float]
"""Hour number, and the value of each track."""


class HourCells:
    """The cells of one service's series. `changed` tells whether they are to be kept anew."""

    def __init__(self, config: HourConfig | None = None) -> None:
        self.config = config or HourConfig()
        self.is_seeded = False
        """What history outside of the state has to say was asked for and taken in."""
        self.changed = False
        self._rows: dict[str, int] = {}
        self._visits: NDArray[np.int32] = np.zeros((WEEK_H, self.config.weeks), np.int32)
        """The hour number of each visit; 0 where there is none."""
        self._codes: Codes = np.zeros((0, *self._shape), np.uint8)
        self._known: dict[tuple[tuple[int, ...], bool], Usual | None] = {}
        """What is usual in the present hours, of all series: asked for with every pane, and the same for an hour."""

    @property
    def _shape(self) -> tuple[int, int, int]:
        return WEEK_H, self.config.weeks, 2

    # -- reading -------------------------------------------------------------------------------------------

    def are_ready(self, pane_ns: int) -> bool:
        """Tell whether the hour of this pane has been visited often enough to know anything."""
        return self._all(pane_ns, lowest=False) is not None

    def usual(self, names: Sequence[str], pane_ns: int, *, lowest: bool = False) -> Usual | None:
        """Return what is usual in this pane; None while no cell of its hour is reliable. `lowest`: of traffic."""
        known = self._all(pane_ns, lowest)
        if known is None:
            return None
        rows = [self._rows.get(name, -1) for name in names]
        return Usual(known.values[rows], known.spread[rows])

    def _all(self, pane_ns: int, lowest: bool) -> Usual | None:
        """Return what is usual for all series in this pane."""
        slack_ns, hour_of = self.config.slack_s * 1_000_000_000, self.config.hour_of
        hours = hour_of(pane_ns), hour_of(pane_ns - slack_ns), hour_of(pane_ns + slack_ns)
        if (hours, lowest) not in self._known:
            self._known = {key: known for key, known in self._known.items() if key[0] == hours}
            self._known[hours, lowest] = self._near(dict.fromkeys(hours), lowest)
        return self._known[hours, lowest]

    def _near(self, hours: Iterable[int], lowest: bool) -> Usual | None:
        """Return what is usual for all series in the first of these hours, widened by what is in the others."""
        own, *others = hours
        found = self._at(own, lowest)
        for hour in others:
            other = self._at(hour, lowest) if found is not None else None
            if found is not None and other is not None:
                found = _joined(found, other, lowest)
        return found

    def _at(self, hour: int, lowest: bool) -> Usual | None:
        """Return what is usual for all series in an hour; a row more at the end is for those that are unknown."""
        least, age = self.config.least_visits, hour - self._visits[hour % WEEK_H]
        counts = np.flatnonzero((age >= WEEK_H) & (age <= WEEK_H * self.config.weeks))
        if len(counts) < least or not self._rows:
            return None
        codes = np.zeros((len(self._rows) + 1, len(counts), 2), np.uint8)
        codes[:-1] = self._codes[:, hour % WEEK_H][:, counts]
        code, known = middle(codes, 1, upper=lowest)
        values = np.where(known >= least, VALUES[code], np.nan)
        far = np.sort(np.abs(VALUES[codes] - values[:, None, :]), axis=1)  # NaN comes last
        place = np.maximum(known - 1, 0)[:, None, :] // 2
        return Usual(values, _MAD_TO_SIGMA * np.take_along_axis(far, place, 1)[:, 0])

    # -- writing -------------------------------------------------------------------------------------------

    def visit(self, hour: int, reached: Mapping[str, Sequence[int]], lowest: Mapping[str, Sequence[int]]) -> None:
        """Add codes of an hour (two tracks a series): the largest stay, of the `lowest` the smallest.

        Saying the same again changes nothing. What is older than the visit that has its place is no use any more.
        """
        cell, slot = hour % WEEK_H, hour // WEEK_H % self.config.weeks
        if self._visits[cell, slot] > hour or not (reached or lowest):
            return
        if self._visits[cell, slot] < hour:
            self._visits[cell, slot] = hour
            self._codes[:, cell, slot] = 0
        for codes, choose in ((reached, np.maximum), (lowest, _smaller)):
            rows = [self._row(name) for name in codes]  # may make room, so it comes first
            if rows:
                held = self._codes[rows, cell, slot]
                self._codes[rows, cell, slot] = choose(held, np.array(list(codes.values()), np.uint8))
        self.changed = True
        self._known.clear()
        if len(self._rows) > self.config.max_series:
            self._forget()

    def seed(self, history: Mapping[str, Sequence[Visit]]) -> None:
        """Take in what is known from elsewhere of hours that have no visit; what was measured here stays."""
        self.is_seeded = self.changed = True
        self._known.clear()
        for name, visits in history.items():
            if not visits or (name not in self._rows and len(self._rows) >= self.config.max_series):
                continue
            row, hours = self._row(name), np.array([one[0] for one in visits], np.int32)
            cells, slots = hours % WEEK_H, hours // WEEK_H % self.config.weeks
            fits = self._visits[cells, slots] <= hours
            newer = fits & (self._visits[cells, slots] < hours)
            self._codes[:, cells[newer], slots[newer]] = 0
            self._visits[cells[newer], slots[newer]] = hours[newer]
            free = fits & (self._codes[row, cells, slots] == 0).all(axis=1)
            codes = encode([one[1:] for one in visits])
            self._codes[row, cells[free], slots[free]] = codes[free]

    def _row(self, name: str) -> int:
        if name not in self._rows:
            self._rows[name] = len(self._rows)
            more = np.zeros((1, *self._shape), np.uint8)
            self._codes = np.concatenate((self._codes, more))
        return self._rows[name]

    def _forget(self) -> None:
        """Drop the series whose last visit is the longest ago."""
        last = (self._visits * self._codes.any(axis=3)).max(axis=(1, 2))
        names = sorted(self._rows, key=lambda name: (-last[self._rows[name]], name))[: self.config.max_series]
        self._codes = self._codes[[self._rows[name] for name in names]]
        self._rows = {name: row for row, name in enumerate(names)}

    # -- keeping -------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Return the cells as msgpack."""
        body = [_VERSION, self.is_seeded, list(self._rows), self._visits.tobytes(), self._codes.tobytes()]
        return bytes(msgpack.packb(body))

    @staticmethod
    def decode(raw: bytes | None, config: HourConfig | None = None) -> HourCells:
        """Read `encode` back; nothing, or cells of another version or size, is a fresh start."""
        cells = HourCells(config)
        body: Any = msgpack.unpackb(raw) if raw else [0]
        if body[0] != _VERSION or len(body[3]) != cells._visits.nbytes:
            return cells
        _, cells.is_seeded, names, visits, codes = body
        cells._rows = {name: row for row, name in enumerate(names)}
        cells._visits = np.frombuffer(visits, np.int32).reshape(cells._visits.shape).copy()
        cells._codes = np.frombuffer(bytearray(codes), np.uint8).reshape(len(names), *cells._shape)
        return cells


def _smaller(held: Codes, codes: Codes) -> Codes:
    return np.where((held == 0) | ((codes != 0) & (codes < held)), codes, held)


def _joined(own: Usual, other: Usual, lowest: bool) -> Usual:
    further = other.values < own.values if lowest else other.values > own.values
    return Usual(np.where(further, other.values, own.values), np.where(further, other.spread, own.spread))
