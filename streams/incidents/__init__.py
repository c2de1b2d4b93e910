"""One incident per causal group: deviations of a pane in, incident events out.

    deviations of a pane ──▶ live graph ──▶ triggers, symptoms ──▶ groups ──▶ open / join / resolve ──▶ IncidentEvent

A *trigger* is a deviation of a service's own (self time, gap, own errors, error logs, a dependency's latency, a stop of
its traffic); a *symptom* (end-to-end latency, errors that came from below) never opens an incident, it joins one.
"""

from streams.incidents.config import IncidentConfig
from streams.incidents.fold import IncidentFold

__all__ = ["IncidentConfig", "IncidentFold"]
