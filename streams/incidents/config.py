"""The settings of incident grouping. Durations in seconds of event time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IncidentConfig:
    """When deviations are one incident, and when it is over."""

    pane_s: int = 10
    calm_panes: int = 3
    """Panes with traffic and without any deviation of a member before an incident is resolved."""
    refute_s: float = 600.0
    """A service that failed now and then is believed to be well after this long, if too few requests came to say so."""
    flap_episodes: int = 3
    """The incident of a service that has had so many, with this one, flaps: it goes and comes ..."""
    flap_window_s: float = 600.0
    """... when the others ended within this time before it began to be one."""
    flap_calm_s: float = 300.0
    """It is over after this long without any deviation, so what comes back by then is no other incident."""
    no_traffic_s: float = 150.0
    """An incident whose members have had no requests for this long is resolved as ``no_traffic``."""
    budget_afterglow_s: float = 3600.0
    """So long after an incident its members' burning budget alone opens no new one: its windows hold the old errors."""
    graph_memory_s: float = 600.0
    """An edge of the live graph is forgotten this long after its last request."""
    together_s: float = 60.0
    """Triggers that call or share a caller are one group when they began within this time of each other. Later ones
    join only from above: trouble spreads to callers, a callee that begins later has its own."""
    spread_s: float = 300.0
    """Callers whose trouble began within this time of the last cause of an incident belong to it; later ones have
    trouble of their own, however long a weak deviation has held the incident open."""
    logs_confirm_s: float = 90.0
    """Error logs with no other symptom open an incident only after this long: one user's retries fill a minute."""
    news_evidence: float = 0.5
    """This share of an alarm is enough for error logs whose lines were never seen before, if those are an alarm: two
    looks at the same lines, each against a past of its own."""
    stop_missing_requests: float = 60.0
    """A stop of traffic is believed when at least this many expected requests are missing ..."""
    stop_s: float = 40.0
    """... over at least this long."""
    stop_rate_per_s: float = 0.5
    """Services that are called less often fall silent by chance."""
    news_s: float = 900.0
    """While an incident is younger, what its requests do is not learned as usual; of its members it never is."""
    fall_s: float = 600.0
    """Severity falls when for so long less has been called for: to the most that was."""
    update_panes: int = 6
    """An open incident reports its state at least every so many panes."""
    max_open: int = 50
    max_services: int = 200
    max_edges: int = 5000
