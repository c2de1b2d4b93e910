"""The instances of a service, before the onset and since: which of them fail or are slow, and the others do not.

What is wrong below or above a service hits all its instances alike. So a service of which one instance has the failed
or slow requests is at fault itself. How far they are concentrated is judged by intervals (Wilson, JASA 1927): the share
of them that the instance has at least, above the share of the other requests that it has at most, of what is left to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.deviations import INSTANCE_KINDS
from schemas.health import InstanceHealth
from schemas.shares import share_in_words
from schemas.snapshots import InstanceFinding, PartCounts
from streams.hypotheses.nodes import Node
from streams.hypotheses.parts import Part
from streams.hypotheses.visits import usual_bin
from streams.incidents.words import series_in_words
from streams.latency import add_into, merge
from streams.slo import wilson_lower

MOST_INSTANCES = 50
"""Instances a finding has: those with most requests."""
_LEAST_KNOWN = 40
"""Requests before the onset without which nothing is called slow."""
_LEAST_BAD = 3.0
_LEAST_SCALES = 3.0
_Z = 1.96


class Concentration(NamedTuple):
    """The instance that stands out among those of its service, how far (0 to 1), and why."""

    instance: str
    value: float
    why: str

    def part(self) -> Part:
        """Return the part of the score."""
        return Part("instances", self.value, self.why)


@dataclass(slots=True)
class _Counts:
    """One instance over several panes."""

    requests: int = 0
    errors: int = 0
    durations: dict[int, int] = field(default_factory=dict)

    def see(self, one: InstanceHealth) -> None:
        self.requests += one.requests
        self.errors += one.errors
        add_into(self.durations, one.durations)

    def counts(self, slow_from: int | None) -> PartCounts:
        slow = 0 if slow_from is None else sum(n for place, n in self.durations.items() if place > slow_from)
        return PartCounts(requests=self.requests, errors=self.errors, slow=slow)


@dataclass(slots=True)
class Replicas:
    """The instances of one node, by name."""

    since: dict[str, _Counts] = field(default_factory=dict)
    before: dict[str, _Counts] = field(default_factory=dict)

    def see(self, instances: Iterable[InstanceHealth]) -> None:
        """Take one pane since the onset."""
        for one in instances:
            self.since.setdefault(one.instance, _Counts()).see(one)

    def see_past(self, instances: Iterable[InstanceHealth]) -> None:
        """Take one pane from before the onset."""
        for one in instances:
            self.before.setdefault(one.instance, _Counts()).see(one)

    def findings(self) -> list[InstanceFinding]:
        """Return what was found of each instance seen since the onset, by name; nothing of a single one."""
        if len(self.since) < 2:
            return []
        slow_from = self._usual()
        largest = sorted(self.since, key=lambda name: (-self.since[name].requests, name))[:MOST_INSTANCES]
        return [
            InstanceFinding(
                instance=name,
                since=self.since[name].counts(slow_from),
                before=self.before.get(name, _Counts()).counts(slow_from),
            )
            for name in sorted(largest)
        ]

    def _usual(self) -> int | None:
        """Return the latency bin that 95 % of the requests before the onset did not exceed, of all instances."""
        durations = merge(one.durations for one in self.before.values())
        return usual_bin(durations, sum(durations.values()), _LEAST_KNOWN)


def concentration(node: Node) -> Concentration | None:
    """Return the instance that has most of what is newly failing or slow, if one stands out.

    Where the counts before and since the onset say nothing, the series of an instance against its siblings may.
    """
    found = [_concentrated(node.finding.instances, what) for what in ("errors", "slow")]
    return max((one for one in found if one is not None), key=lambda one: one.value, default=_told(node))


def _told(node: Node) -> Concentration | None:
    """Return the instance whose series deviates most, as far as its share of bad requests is above its siblings'."""
    series = [found for kind in INSTANCE_KINDS if (found := node.series.get((kind, None))) and found.strength > 0]
    found = max(series, key=lambda one: one.strength, default=None)
    if found is None or found.peak.instance is None:
        return None
    more = max(0.0, found.peak.value - found.peak.median)
    return Concentration(found.peak.instance, more, series_in_words(node.service, found.peak))


def _concentrated(instances: Sequence[InstanceFinding], what: str) -> Concentration | None:
    if len(instances) < 2:
        return None
    bad = dict(zip((one.instance for one in instances), _excesses(instances, what), strict=True))
    good = {one.instance: one.since.requests - getattr(one.since, what) for one in instances}
    lead = max(bad, key=lambda name: (bad[name], name))
    total, others = round(sum(bad.values())), sum(good.values())
    if bad[lead] < _LEAST_BAD or not others:
        return None
    least = wilson_lower(round(bad[lead]), total, _Z)
    most = 1.0 - wilson_lower(others - good[lead], others, _Z)
    value = max(0.0, least - most) / (1.0 - most) if most < 1.0 else 0.0
    name = "failed" if what == "errors" else "slow"
    share = share_in_words(good[lead] / others)
    why = f"{bad[lead]:.0f} of {total} {name} requests at instance {lead}, which has {share} of the others"
    return Concentration(lead, value, why)


def _excesses(instances: Sequence[InstanceFinding], what: str) -> Iterator[float]:
    """Yield how many more bad requests than usual each instance has; 0 where that may be chance.

    Usual is its own past; of an instance without one that of the service.
    """
    usual = sum(getattr(one.before, what) for one in instances) / max(1, sum(one.before.requests for one in instances))
    for one in instances:
        rate = getattr(one.before, what) / one.before.requests if one.before.requests >= _LEAST_KNOWN else usual
        expected = rate * one.since.requests
        more = getattr(one.since, what) - expected
        yield more if more > _LEAST_SCALES * math.sqrt(expected + 1.0) else 0.0
