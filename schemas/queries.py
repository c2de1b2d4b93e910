"""What the stores answer: rows of the windows and of raw telemetry, as the API passes them on.

Latencies are milliseconds (``None`` where nothing was measured), instants Unix nanoseconds.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.events import ConnectionType, EdgeStats, NodeKind, RedStats


class Answer(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True)


class ServiceSummary(Answer):
    """A service or virtual node as it was in its newest window."""

    service: str
    node_kind: NodeKind
    pane_start_ns: int = Field(description="Start of the newest pane; the window ends one pane later.")
    window_s: int
    window: RedStats
    failing_traces: list[str] = []
    slow_traces: list[str] = []


class HealthPoint(Answer):
    """One pane of a health series, with the sliding window that ends with it."""

    pane_start_ns: int
    revision: int = Field(description="How often the pane was told again because its content changed.")
    final: bool
    pane: RedStats
    window: RedStats
    log_severities: dict[str, int] = {}
    slow_traces: list[str] = []
    failing_traces: list[str] = []
    normal_traces: list[str] = []
    late_items: int = 0


class MapEdge(Answer):
    """An edge of the service map: both sides over one window, and the gap between them."""

    client: str
    client_kind: NodeKind
    server: str
    server_kind: NodeKind
    connection_type: ConnectionType
    pane_start_ns: int
    window: EdgeStats
