"""Which triggers have one cause: callers of what began before, neighbours and siblings that began together."""

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
    if spreads(other.service, other.since_ns, one, graph, config) or spreads(
        one.service, one.since_ns, other, graph, config
    ):
        return True
    shared = set(graph.callers(one.service)) & set(graph.callers(other.service)) or one.partners & other.partners
    return bool(shared) and _together(one.since_ns, other.since_ns, config)


def spreads(service: str, since_ns: int, alarm: Alarm, graph: LiveGraph, config: IncidentConfig) -> bool:
    """Tell whether trouble at `service` may have caused the alarm: it is a caller, or a neighbour at the same time.

    Trouble reaches a caller within minutes. Who deviates by itself long after has a reason of its own. Of doors to
    which nobody comes any more the outside is the caller.
    """
    if (alarm.service, service) in graph.edges and 0 <= alarm.since_ns - since_ns <= config.spread_s * 1e9:
        return True
    doors = alarm.has_stopped and {service, alarm.service} <= graph.entries.keys()  # nobody comes to either
    near = doors or graph.touches(alarm.service, service) or service in alarm.partners
    return near and _together(alarm.since_ns, since_ns, config)


def _together(one_ns: int, other_ns: int, config: IncidentConfig) -> bool:
    return abs(one_ns - other_ns) <= config.together_s * 1e9
