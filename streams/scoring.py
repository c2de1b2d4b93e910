"""How well recorded faults were found and named (docs/recordings.md has the definitions).

A fault is *hit* by an incident opened in (start, start + 270 s]. An incident opened outside of [start - 5 s,
start + 400 s] of every fault, and outside the ranges that do not count, is a *false alarm*. AC@k: the service at fault
is among the first k hypotheses that the hitting incident had 300 s after the start; Avg@5 is the mean of AC@1 to AC@5.
A fault that nothing hits is a miss there, too. Of faults that are there at the same time each needs an incident of its
own, the first ones that were opened. A fault that lasts longer than three minutes, as a trickle does, has so much more
time for all of this. "Opened" is the instant of the decision, not of the pane it is about.
*Fragments per fault*: incidents opened from 5 s before a fault to 400 s after it, or until the next one, per fault that
has any; 1 is one incident a fault.

Some labels are sure of their start only to a minute and more (`start_uncertainty_s`). What is found before such a start
is no hit and, beyond 5 s, a false alarm. Faults `within_uncertainty` are scored the same way, with windows that begin
so much earlier: those figures stand beside the strict ones.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

HIT_S = 270.0
BEFORE_S = 5.0
AFTER_S = 400.0
RANKED_S = 300.0
USUAL_S = 180.0
"""How long a fault lasts that these times are meant for."""
_DEEPEST = 5
_DAY_S = 86_400
Period = tuple[float, float]
"""From when until when something was recorded, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was injected; Unix seconds."""

    fault_id: str
    start_s: float
    service: str
    kind: str = ""
    start_uncertainty_s: float = 0.0
    duration_s: float = 0.0
    early_s: float = 0.0
    """What is found so long before the start counts as found."""

    @property
    def longer_s(self) -> float:
        """By how much it lasts longer than usual."""
        return max(0.0, self.duration_s - USUAL_S)

    @property
    def begins_s(self) -> float:
        """From when on an incident may be about it."""
        return self.start_s - max(BEFORE_S, self.early_s)

    @property
    def ranked_by_s(self) -> float:
        """When the last ranking of it that counts has been made."""
        return self.start_s + RANKED_S + self.longer_s


@dataclass(frozen=True, slots=True)
class Opened:
    """An incident as scoring sees it: when it was opened, and the services named at which time, best first."""

    incident_id: str
    at_s: float
    title: str
    rankings: tuple[tuple[float, tuple[str, ...]], ...] = ()

    def named_by(self, at_s: float) -> tuple[str, ...]:
        """Return the services of the last ranking made by then."""
        made = [(when, services) for when, services in self.rankings if when <= at_s]
        return max(made, key=lambda pair: pair[0])[1] if made else ()


@dataclass(frozen=True, slots=True)
class FaultScore:
    """What became of one fault. ``rank`` is 0 when the service at fault was not named."""

    fault: Fault
    incident: Opened | None
    delay_s: float | None = None
    rank: int = 0
    fragments: int = 0
    """Incidents opened while the fault and its consequences lasted."""


@dataclass(frozen=True, slots=True)
class RecordingScore:
    """All of one recording, or of several added up."""

    faults: tuple[FaultScore, ...]
    false_alarms: tuple[Opened, ...]
    fault_free_hours: float

    @property
    def hits(self) -> int:
        """Faults that an incident hit."""
        return sum(score.incident is not None for score in self.faults)

    def accuracy(self, depth: int) -> float | None:
        """Return AC@depth; None without faults."""
        named = sum(0 < score.rank <= depth for score in self.faults)
        return named / len(self.faults) if self.faults else None

    @property
    def fragments_per_fault(self) -> float | None:
        """Incidents per fault, over the faults that have any."""
        counts = [score.fragments for score in self.faults if score.fragments]
        return statistics.mean(counts) if counts else None

    def summary(self) -> dict[str, float | int | None]:
        """Return the figures by name; a ratio of nothing is None."""
        delays = [score.delay_s for score in self.faults if score.delay_s is not None]
        depths = [self.accuracy(depth) for depth in range(1, _DEEPEST + 1)]
        known = [value for value in depths if value is not None]
        hours = self.fault_free_hours
        return {
            "faults": len(self.faults),
            "recall": _rounded(self.hits / len(self.faults) if self.faults else None),
            "false_alarms": len(self.false_alarms),
            "fault_free_hours": round(hours, 3),
            "false_alarms_per_hour": _rounded(len(self.false_alarms) / hours if hours > 0 else None),
            "median_time_to_detect_s": _rounded(statistics.median(delays) if delays else None),
            "ac_1": _rounded(self.accuracy(1)),
            "ac_3": _rounded(self.accuracy(3)),
            "avg_5": _rounded(statistics.mean(known) if known else None),
            "fragments_per_fault": _rounded(self.fragments_per_fault),
        }


def within_uncertainty(faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults as beginning as early as their labels allow: what is found from then on is found."""
    return [replace(fault, early_s=fault.start_uncertainty_s) for fault in faults]


def score_recording(
    faults: Sequence[Fault], incidents: Sequence[Opened], periods: Sequence[Period], dont_care_utc: Sequence[str]
) -> RecordingScore:
    """Score what was recorded in these periods, which may overlap.

    `dont_care_utc` are ranges ``HH:MM-HH:MM`` of every day, both ends included.
    """
    ordered = sorted(incidents, key=lambda one: (one.at_s, one.incident_id))
    scored = {score.fault: score for cluster in _clusters(faults) for score in _score_cluster(cluster, ordered)}
    scores = tuple(_with_neighbours(scored[fault], faults, ordered) for fault in faults)
    alarms = tuple(one for one in ordered if not _excused(one.at_s, faults, dont_care_utc))
    hours = _fault_free_s(faults, periods, dont_care_utc) / 3600.0
    return RecordingScore(scores, alarms, hours)


def total(scores: Iterable[RecordingScore]) -> RecordingScore:
    """Add recordings up: every fault counts the same."""
    each = list(scores)
    return RecordingScore(
        tuple(fault for score in each for fault in score.faults),
        tuple(alarm for score in each for alarm in score.false_alarms),
        sum(score.fault_free_hours for score in each),
    )


def _clusters(faults: Sequence[Fault]) -> Iterator[list[Fault]]:
    """Yield the faults in groups that are there at the same time; nearly all are alone."""
    cluster: list[Fault] = []
    for fault in sorted(faults, key=lambda one: (one.start_s, one.fault_id)):
        if cluster and fault.start_s >= max(one.start_s + one.duration_s for one in cluster):
            yield cluster
            cluster = []
        cluster.append(fault)
    if cluster:
        yield cluster


def _score_cluster(faults: Sequence[Fault], incidents: Sequence[Opened]) -> Sequence[FaultScore]:
    """Give each fault one of the first incidents, the way that hits and names most of them.

    Only as many incidents as there are faults are looked at: who splits a fault into several does not gain by it.
    """
    first = [one for one in incidents if any(_in_time(one, fault) for fault in faults)][: len(faults)]
    chances: list[Opened | None] = [*first, *[None] * len(faults)]
    ways = dict.fromkeys(itertools.permutations(chances, len(faults)))
    scored = ([_score(fault, hit) for fault, hit in zip(faults, way, strict=True)] for way in ways)
    return max(scored, key=_worth)


def _worth(scores: Sequence[FaultScore]) -> tuple[float, ...]:
    hits = [score for score in scores if score.incident is not None]
    named = sum(1.0 / score.rank for score in hits if score.rank)
    return (len(hits), named, -sum(score.delay_s or 0.0 for score in hits))


def _in_time(incident: Opened, fault: Fault) -> bool:
    return fault.start_s - fault.early_s < incident.at_s <= fault.start_s + HIT_S + fault.longer_s


def _score(fault: Fault, hit: Opened | None) -> FaultScore:
    if hit is None or not _in_time(hit, fault):
        return FaultScore(fault, None)
    named = hit.named_by(fault.ranked_by_s)
    place = named.index(fault.service) + 1 if fault.service in named else 0
    return FaultScore(fault, hit, hit.at_s - fault.start_s, place)


def _with_neighbours(score: FaultScore, faults: Sequence[Fault], incidents: Sequence[Opened]) -> FaultScore:
    """Add what else was opened about the fault: an incident belongs to the last fault that began before it."""
    fault = score.fault
    later = [other.begins_s for other in faults if other.start_s > fault.start_s]
    end_s = min([fault.start_s + AFTER_S + fault.longer_s, *later])
    fragments = sum(fault.begins_s <= one.at_s <= end_s for one in incidents)
    return replace(score, fragments=fragments)


def _excused(at_s: float, faults: Sequence[Fault], dont_care_utc: Sequence[str]) -> bool:
    near = any(fault.begins_s <= at_s <= fault.start_s + AFTER_S + fault.longer_s for fault in faults)
    return near or any(_in_range(at_s, text) for text in dont_care_utc)


def _fault_free_s(faults: Sequence[Fault], periods: Sequence[Period], dont_care_utc: Sequence[str]) -> float:
    """Count the seconds in which an incident would be a false alarm."""
    seconds = {second for start_s, end_s in periods for second in range(int(start_s), int(end_s))}
    return float(sum(not _excused(float(second), faults, dont_care_utc) for second in seconds))


def _in_range(at_s: float, text: str) -> bool:
    first, _, last = text.partition("-")
    of_day = at_s % _DAY_S
    begin, end = _of_day_s(first), _of_day_s(last)
    return begin <= of_day <= end if begin <= end else of_day >= begin or of_day <= end


def _of_day_s(text: str) -> int:
    hours, _, minutes = text.strip().partition(":")
    return int(hours) * 3600 + int(minutes) * 60


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
