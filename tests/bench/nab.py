"""The Numenta Anomaly Benchmark: its series, its labelled windows, and how a detector's alarms are scored.

Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms", 2015 (arXiv 1510.03336), as the reference
implementation does it: inside a window the first alarm counts by how early it is, later ones nothing, a window without
one costs a miss; an alarm outside costs by how far behind the last window it is. The first 15 % of a series (750
points at most) are probation: nothing there counts.
"""

from __future__ import annotations

import csv
import json
import math
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PROBATION_SHARE, _PROBATION_OF = 0.15, 5000


@dataclass(frozen=True)
class Series:
    """One series: its values, and the windows (first and last place, both within) in which an anomaly was labelled."""

    name: str
    values: Floats
    windows: list[tuple[int, int]]

    @property
    def probation(self) -> int:
        """Points at the beginning that do not count."""
        return int(_PROBATION_SHARE * min(len(self.values), _PROBATION_OF))


@dataclass(frozen=True)
class Profile:
    """What a hit, a miss and a false alarm weigh."""

    hit: float
    miss: float
    false_alarm: float


@dataclass(frozen=True)
class Corpus:
    """All series, and the profiles by name."""

    series: list[Series]
    profiles: dict[str, Profile]


def read_corpus(archive: Path) -> Corpus:
    """Read the corpus from its archive (tar): data/, labels/combined_windows.json, config/profiles.json."""
    with tarfile.open(archive) as tar:
        files = {member.name.removeprefix("./"): member for member in tar.getmembers() if member.isfile()}

        def text(name: str) -> Iterator[str]:
            body = tar.extractfile(files[name])
            assert body is not None
            return _lines(body)

        labels = json.loads("".join(text("labels/combined_windows.json")))
        profiles = json.loads("".join(text("config/profiles.json")))
        series = [_series(name, text(f"data/{name}"), windows) for name, windows in sorted(labels.items())]
    return Corpus(series, {name: _profile(body["CostMatrix"]) for name, body in profiles.items()})


def _lines(body: IO[bytes]) -> Iterator[str]:
    return (line.decode() for line in body)


def _series(name: str, lines: Iterable[str], windows: Sequence[Sequence[str]]) -> Series:
    rows = list(csv.DictReader(lines))
    places = {row["timestamp"]: place for place, row in enumerate(rows)}
    bounds = [(places[first[:19]], places[last[:19]]) for first, last in windows]
    return Series(name, np.array([float(row["value"]) for row in rows]), bounds)


def _profile(costs: dict[str, float]) -> Profile:
    return Profile(costs["tpWeight"], costs["fnWeight"], costs["fpWeight"])


def sigmoid(position: float) -> float:
    """Return what an alarm at this place is worth: -1 is a window's first point, 0 its end, 3 and more far behind."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def score_of(series: Series, alarms: Iterable[int], profile: Profile) -> float:
    """Return the score of one series: 1 for each window that was found at once, less for late ones and false alarms."""
    found: dict[int, float] = {}
    costs = 0.0
    for place in sorted(alarms):
        if place < series.probation:
            continue
        inside = next((n for n, (first, last) in enumerate(series.windows) if first <= place <= last), None)
        if inside is None:
            costs += profile.false_alarm * sigmoid(_behind(series, place))
        elif inside not in found:
            first, last = series.windows[inside]
            early = sigmoid(-(last - place + 1) / (last - first + 1))
            found[inside] = profile.hit * early / sigmoid(-1.0)
    return sum(found.values()) - profile.miss * (len(series.windows) - len(found)) + costs


def _behind(series: Series, place: int) -> float:
    """Return by how many of its widths the place lies behind the last window; far behind when there is none."""
    over = [(first, last) for first, last in series.windows if last < place]
    if not over:
        return math.inf
    first, last = over[-1]
    return (place - last) / (last - first)


def scaled(scores: Iterable[float], corpus: Corpus, profile: Profile) -> float:
    """Return the score of the whole corpus: 0 is no alarm at all, 100 every window found at once and nothing else."""
    windows = sum(len(series.windows) for series in corpus.series)
    least, most = -profile.miss * windows, profile.hit * windows
    return 100.0 * (sum(scores) - least) / (most - least)
