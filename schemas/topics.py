"""Every Kafka topic, declared once: name, key, value, retention.

All topics have the same number of partitions (a setting): Faust requires a table's changelog to match its
source, and one number makes every pair of topics co-partitioned by the same key. Broker auto-creation is
off; `sinks.kafka` creates what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic: what its key co-locates, what its value is, and how long it is kept (a compacted one: for good)."""

    name: str
    key: str
    value: str
    retention_ms: int
    max_message_bytes: int = 1_048_576
    compacted: bool = False


TRACES = TopicSpec("otel.traces", "any", "OTLP ExportTraceServiceRequest (protobuf or JSON)", 3 * DAY_MS, 4_194_304)
METRICS = TopicSpec("otel.metrics", "any", "OTLP ExportMetricsServiceRequest", 3 * DAY_MS, 4_194_304)
LOGS = TopicSpec("otel.logs", "any", "OTLP ExportLogsServiceRequest", 3 * DAY_MS, 4_194_304)

STUBS = TopicSpec("telemetry.stubs", "tenant|trace_id hash", "span stubs, or progress", 6 * HOUR_MS)
ROLLUPS = TopicSpec("telemetry.rollups", "tenant|service", "partial windows, or progress", 6 * HOUR_MS)
POINTS = TopicSpec("telemetry.points", "tenant", "points of single metrics, or progress", 6 * HOUR_MS)
HEALTH = TopicSpec("health", "tenant|service", "ServiceHealth JSON, or progress", 3 * DAY_MS)
LATE = TopicSpec("telemetry.late", "tenant", "panes that late items belong to, or progress", 3 * DAY_MS)
DEVIATIONS = TopicSpec("deviations", "tenant", "ServiceDeviations JSON, or progress", 3 * DAY_MS)
INCIDENT_EVENTS = TopicSpec("incidents.events", "tenant", "IncidentEvent JSON", 30 * DAY_MS)
HYPOTHESES = TopicSpec("incidents.hypotheses", "tenant", "HypothesisSet JSON", 30 * DAY_MS)
DEPLOYS = TopicSpec("deploys.events", "tenant", "Deploy JSON", 30 * DAY_MS)
ALERTS = TopicSpec("alerts", "tenant", "Alert JSON", 30 * DAY_MS)
DEAD_LETTERS = TopicSpec("dead-letters", "topic:partition:offset:item", "DeadLetter JSON", 14 * DAY_MS)

BASELINES_TABLE = TopicSpec("incidentscope.baselines-changelog", "tenant|service", "baseline state", -1, compacted=True)
HOURS_TABLE = TopicSpec(
    "incidentscope.hours-changelog", "tenant|service", "what is usual at each hour of the week", -1, compacted=True
)
SLO_TABLE = TopicSpec("incidentscope.slo-changelog", "tenant|service", "burn-rate state", -1, compacted=True)
INCIDENTS_TABLE = TopicSpec("incidentscope.incidents-changelog", "tenant", "open incidents", -1, compacted=True)
ALERTING_TABLE = TopicSpec("incidentscope.alerting-changelog", "tenant|incident", "notified so far", -1, compacted=True)
CLOSED_TABLE = TopicSpec(
    "incidentscope.closed-changelog", "topic/partition", "Progress of closed panes", -1, compacted=True
)
NODES_TABLE = TopicSpec(
    "incidentscope.nodes-changelog", "tenant|service", "when a service was last seen", -1, compacted=True
)
MEMORIES_TABLE = TopicSpec(
    "incidentscope.memories-changelog", "tenant|service", "log templates of a service", -1, compacted=True
)

TABLES = (
    BASELINES_TABLE, HOURS_TABLE, SLO_TABLE, INCIDENTS_TABLE, ALERTING_TABLE, CLOSED_TABLE, NODES_TABLE, MEMORIES_TABLE,
)  # fmt: skip
"""Changelogs of the Faust tables: long-memory states, the newest value of each key."""

RAW_TOPICS = (TRACES, METRICS, LOGS)
ALL_TOPICS = (
    *RAW_TOPICS, STUBS, ROLLUPS, POINTS, HEALTH, LATE, DEVIATIONS, INCIDENT_EVENTS, HYPOTHESES, DEPLOYS, ALERTS,
    DEAD_LETTERS, *TABLES,
)  # fmt: skip


def sources(topic: TopicSpec, partitions: int) -> list[str]:
    """Name the source partitions of a topic as progress records name them: ``otel.traces/0``."""
    return [f"{topic.name}/{partition}" for partition in range(partitions)]
