"""Every way in which an item can fail to reach a window, by name: principle 4 (every loss has a name and a counter)."""

from __future__ import annotations

from enum import StrEnum


class LossReason(StrEnum):
    """Why items are missing from, or coarser in, the windows than in the raw store. A closed list."""

    LATE = "late"
    """The pane had closed when the item's record arrived."""
    OUT_OF_RANGE = "out_of_range"
    """The event time is more than 24 h before or 10 min after the arrival."""
    NEGATIVE_DURATION = "negative_duration"
    """The span ends before it starts: counted as a request, in no latency sketch."""
    OPERATION_OVERFLOW = "operation_overflow"
    """The operation went to ``__overflow__``; service and status are kept."""
    SERVICE_OVERFLOW = "service_overflow"
    """The service went to ``__overflow__``; status is kept."""
    TENANT_OVERFLOW = "tenant_overflow"
    """Too many tenants at once: in no window."""
    STUB_OVERFLOW = "stub_overflow"
    """The pairing buffer was full: in no edge."""
    NODE_OVERFLOW = "node_overflow"
    """Too many services and nodes in one health partition: in no ServiceHealth."""
    EDGE_OVERFLOW = "edge_overflow"
    """Too many edges into one node: counted under the client ``__overflow__``."""
    DRIVEN_OVERFLOW = "driven_overflow"
    """Too many replays at once: the tenant stays on the wall clock."""
    INCOMPLETE_PARTIAL = "incomplete_partial"
    """A partial rebuilt from too late an offset was refused in favour of the complete one."""
    CLOSED_PANE = "closed_pane"
    """A partial came for a pane that is final."""
    REPAIRED_TEXT = "repaired_text"
    """A name was not UTF-8 and was repaired with U+FFFD."""
    TRUNCATED_TEXT = "truncated_text"
    """A name was longer than the limit and was cut."""
    DUPLICATE = "duplicate"
    """The same span (trace id, span id) was there already: counted once in edges."""
