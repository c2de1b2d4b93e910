"""Which triggers of a pane have one cause: neighbours in the live graph, or siblings that began together."""

from __future__ import annotations

from collections.abc import Mapping

from streams.incidents.config import IncidentConfig
from streams.incidents.graph import LiveGraph
from streams.incidents.triggers import Alarm


def groups_of(alarms: Mapping[str, Alarm], graph: LiveGraph, config: IncidentConfig) -> list[list[Alarm]]:
    """Return the triggers in groups, earliest first. Deterministic."""
    triggers = sorted((alarm for alarm in alarms.values() if alarm.own), key=lambda a: (a.since_ns, a.service))
    groups: list[list[Alarm]] = []
    for alarm in triggers:
        linked = [group for group in groups if any(_linked(alarm, other, graph, config) for other in group)]
        merged = [alarm] if not linked else [one for group in linked for one in group] + [alarm]
        groups = [group for group in groups if group not in linked] + [merged]
    return sorted(groups, key=lambda group: (min(a.since_ns for a in group), group[0].service))


def _linked(one: Alarm, other: Alarm, graph: LiveGraph, config: IncidentConfig) -> bool:
    if graph.touches(one.service, other.service):
        return True
    together = abs(one.since_ns - other.since_ns) <= config.together_s * 1e9
    if not together:
        return False
    return bool(set(graph.callers(one.service)) & set(graph.callers(other.service))) or bool(
        one.partners & other.partners
    )
