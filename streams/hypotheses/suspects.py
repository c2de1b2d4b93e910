"""Each node as a suspect: the parts of its score, each with its reason in words.

The values of the parts depend on the snapshot alone, never on the weights, so weights can be fitted to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from schemas.deviations import INSTANCE_KINDS, SeriesKind
from schemas.health import NodeKind
from schemas.incidents import Deploy, ScorePart
from schemas.snapshots import RankingSnapshot, Weights
from streams.hypotheses.blame import EdgeBlame, blame_edges
from streams.hypotheses.budgets import budget_part, burn_of
from streams.hypotheses.changes import Change, change_of
from streams.hypotheses.distance import distance_part, impact_of
from streams.hypotheses.failures import failure_parts
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.novelty import novelty_parts
from streams.hypotheses.operations import Standout, standout
from streams.hypotheses.parts import Part
from streams.hypotheses.replicas import Concentration, concentration
from streams.hypotheses.resources import metric_parts
from streams.hypotheses.spectrum import spectrum_parts
from streams.hypotheses.times import time_parts
from streams.hypotheses.traffic import traffic_parts

OWN_KINDS = (
    SeriesKind.SELF_TIME,
    SeriesKind.GAP,
    SeriesKind.LOG_ERRORS,
    SeriesKind.ERROR_RATE,
    SeriesKind.EDGE_ERROR_RATE,
    SeriesKind.EDGE_LATENCY,
    *INSTANCE_KINDS,
)
_FIRST_S = 60.0
_LEAST_CONCENTRATION = 0.5
"""From here on an instance is named."""
_WHERE = "distance"
_DOUBLED = 1.0
_FAILS = ("own_errors", "log_errors", "new_signature", "origin", "instances")
"""Who fails is asked again, so a surge beside these may be what follows."""
_LEAST_VALUE = 0.005
"""A part below this is not shown and not counted."""


@dataclass(slots=True)
class Suspect:
    """A node with its parts."""

    node: Node
    blame: EdgeBlame
    parts: list[ScorePart] = field(default_factory=list)
    change: Change | None = None
    concentration: Concentration | None = None
    standout: Standout | None = None
    nearness: float = 1.0
    """What weights are multiplied by: less than 1 for who is apart, whom no call connects with the incident's services.

    It may share what no trace shows, but of two faults at once the louder one is not the cause of both.
    """

    @property
    def service(self) -> str:
        """The service or virtual node."""
        return self.node.service

    @property
    def deploy(self) -> Deploy | None:
        """Its deploy near the onset, if anything but that speaks against it."""
        return self.change.deploy if self.change is not None and self.change.is_accused else None

    @property
    def score(self) -> float:
        """The sum of the parts' contributions."""
        return sum(part.contribution for part in self.parts)

    @property
    def since_ns(self) -> int | None:
        """When its own series began to deviate."""
        return self.node.since_ns(OWN_KINDS)

    @property
    def instance(self) -> str | None:
        """The one instance of the service that fails or is slow."""
        found = self.concentration
        return found.instance if found is not None and found.value >= _LEAST_CONCENTRATION else None

    @property
    def operation(self) -> str | None:
        """The one operation of the service that fails, is slow or is no longer called."""
        return self.standout.operation if self.standout is not None else None

    @property
    def edge_client(self) -> str | None:
        """The client of the one connection that is to blame, if it is one."""
        lead, blame = self.leading(), self.blame
        if lead is None or lead.name != "gap" or blame.as_callee < blame.as_caller or blame.slow_in != 1:
            return None
        return blame.worst_client

    @property
    def is_load(self) -> bool:
        """Whether it is the load on it: twice the usual requests where users come in, and it does not fail more."""
        values = {part.name: part.contribution for part in self.parts}
        surge = next((part for part in self.parts if part.name == "load"), None)
        if surge is None or surge.value < _DOUBLED or self.deploy is not None:
            return False
        return surge.contribution >= max(values.get(name, 0.0) for name in _FAILS)

    def leading(self) -> ScorePart | None:
        """Return the part that says most of what it does; where it stands is nothing that it does."""
        does = [part for part in self.parts if part.name != _WHERE]
        return max(does, key=lambda part: (part.contribution, part.name), default=None)

    def add(self, parts: Iterable[Part], weights: Weights) -> None:
        """Weigh parts and add those that are anything; what these weights do not know is no part of the score."""
        for part in parts:
            if part.value > _LEAST_VALUE and part.name in weights.of:
                value, weight = round(part.value, 4), round(weights.of[part.name] * self.nearness, 4)
                contribution = round(value * weight, 4)
                self.parts.append(
                    ScorePart(name=part.name, value=value, weight=weight, contribution=contribution, why=part.why)
                )


def suspects_of(snapshot: RankingSnapshot, nodes: Nodes, weights: Weights) -> list[Suspect]:
    """Return every node with its parts, the highest score first; ties by name."""
    blame = blame_edges(nodes)
    reach = nodes.reach(snapshot.services)
    suspects = [
        Suspect(node, blame.get(node.service, EdgeBlame()), nearness=1.0 if node.service in reach else weights.apart)
        for node in nodes
        if node.finding.node_kind is not NodeKind.CLIENT
    ]
    for suspect in suspects:
        suspect.add(time_parts(suspect.node, nodes.callees(suspect.service), suspect.blame), weights)
        suspect.add(failure_parts(suspect.node, nodes, calls_explain=weights.calls_explain), weights)
        suspect.add(novelty_parts(suspect.node, nodes, snapshot.onset_ns), weights)
        suspect.add(spectrum_parts(suspect.node, nodes), weights)
        suspect.add(traffic_parts(suspect.node, nodes), weights)
        suspect.standout = standout(suspect.node, nodes.callees(suspect.service))
        suspect.concentration = concentration(suspect.node)
        if suspect.concentration is not None:
            suspect.add([suspect.concentration.part()], weights)
    _add_budgets(suspects, nodes, snapshot.services, weights)
    for suspect in suspects:
        if suspect.parts:  # a metric explains, and accuses nobody by itself
            suspect.add(metric_parts(suspect.node, nodes), weights)
    _add_order(suspects, weights)
    for suspect in suspects:
        worse_since_ns = suspect.node.since_ns(OWN_KINDS, snapshot.start_ns)
        suspect.change = change_of(suspect.node.finding, snapshot, suspect.parts, worse_since_ns)
        if suspect.change is not None:
            suspect.add([suspect.change.part()], weights)
    _add_distance(suspects, nodes, weights)
    return sorted(suspects, key=lambda s: (-s.score, s.service))


def _add_budgets(suspects: Sequence[Suspect], nodes: Nodes, services: Sequence[str], weights: Weights) -> None:
    """Add what budgets say where nothing else is said of any of the incident's services."""
    of_incident = [one for one in suspects if one.service in services]
    burners = {one.service: burn for one in of_incident if (burn := burn_of(one.node)) is not None}
    if burners and not any(one.parts for one in of_incident):
        for suspect in suspects:
            suspect.add([budget_part(suspect.node, nodes, burners)], weights)


def _add_order(suspects: Sequence[Suspect], weights: Weights) -> None:
    starts = {s.service: s.since_ns for s in suspects if s.parts and s.since_ns is not None}
    earliest = min((since for since in starts.values() if since is not None), default=0)
    for suspect in suspects:
        since = starts.get(suspect.service)
        if since is not None:
            later_s = (since - earliest) / 1e9
            why = "first to deviate" if later_s == 0 else f"deviates {later_s:.0f} s after the first"
            suspect.add([Part("first", max(0.0, 1.0 - later_s / _FIRST_S), why)], weights)


def _add_distance(suspects: Sequence[Suspect], nodes: Nodes, weights: Weights) -> None:
    accused, impact = [one for one in suspects if one.parts], impact_of(nodes)
    farthest = max((impact.depths.get(one.service, 0) for one in accused), default=0)
    for suspect in accused:
        said = sum(part.value for part in suspect.parts)
        suspect.add([distance_part(suspect.service, impact, farthest, said)], weights)
