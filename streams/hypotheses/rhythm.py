"""When an incident is ranked: in its first panes, whenever something happens to it, and once a minute."""

from __future__ import annotations

from schemas.incidents import IncidentEvent

EAGER_PANES = 12
"""An incident is ranked anew in each of so many panes from its onset on, and from a second trouble on."""
LATER_EVERY = 6


def version_of(event: IncidentEvent, as_of_ns: int, pane_ns: int) -> int:
    """Return the version of the ranking as of an instant: panes since the onset. The same again after a replay."""
    return max(0, (as_of_ns - event.onset_ns) // pane_ns)


def is_in_rhythm(event: IncidentEvent, as_of_ns: int, pane_ns: int) -> bool:
    """Tell whether this pane calls for a ranking though nothing happened to the incident."""
    number = version_of(event, as_of_ns, pane_ns)
    is_new = as_of_ns - max(event.onset_ns, event.renewed_ns) < (EAGER_PANES + 1) * pane_ns
    return is_new or number % LATER_EVERY == 0
