"""Every metric of the worker, declared once: name, meaning, labels. `topologies.metrics` makes them.

Naming follows the Prometheus conventions (base units, ``_total`` on counters). The label ``tenant`` is
bounded: beyond `TENANT_LABELS` tenants the rest are counted under ``__other__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TENANT_LABELS = 500
"""How many tenants get a label value of their own in one process."""

OTHER_TENANTS = "__other__"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. ``buckets`` belong to histograms and are upper bounds in the metric's unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

RECORDS = MetricSpec(
    "incidentscope_records_total",
    "counter",
    "Kafka records a stage has handled, ticks and progress included.",
    ("stage", "topic"),
)
RECORDS_MISSING = MetricSpec(
    "incidentscope_records_missing_total",
    "counter",
    "Records that were skipped over: retention or the broker has eaten them before they were read.",
    ("topic",),
)
RECORDS_DROPPED = MetricSpec(
    "incidentscope_records_dropped_total",
    "counter",
    "Records of an earlier assignment, dropped because they are read again from the committed floor.",
    ("stage", "topic"),
)
ITEMS = MetricSpec(
    "incidentscope_items_total",
    "counter",
    "Spans, log records and metric points read and decoded (again after a restart).",
    ("tenant", "signal"),
)
LOSSES = MetricSpec(
    "incidentscope_losses_total",
    "counter",
    "Items that are missing from a window or ranking, or coarser in it, by reason (schemas.losses.LossReason).",
    ("tenant", "reason"),
)
LATE_ITEMS = MetricSpec(
    "incidentscope_late_items_total",
    "counter",
    "Items that came after their pane had closed, by service (beyond 500 services of a process: __other__).",
    ("tenant", "service"),
)
REVISIONS = MetricSpec(
    "incidentscope_pane_revisions_total",
    "counter",
    "Panes of services that were told again because of late items.",
    ("tenant",),
)
LATE_PANES = MetricSpec(
    "incidentscope_late_panes_waiting", "gauge", "Panes that wait to be measured again.", ("partition",)
)
REJECTS = MetricSpec(
    "incidentscope_rejected_items_total",
    "counter",
    "Single items refused by the decoder, by reason (schemas.errors.RejectReason).",
    ("tenant", "reason"),
)
DEAD_LETTERS = MetricSpec(
    "incidentscope_dead_letters_total",
    "counter",
    "Whole messages that went to the dead letters, by reason (schemas.errors.RejectReason).",
    ("tenant", "reason"),
)
PROBES = MetricSpec(
    "incidentscope_probes_total",
    "counter",
    "Times that nearly everything of a topic was refused and a good request of our own was tried: passed or refused.",
    ("topic", "outcome"),
)
LETTERS_FORGOTTEN = MetricSpec(
    "incidentscope_dead_letters_forgotten_total",
    "counter",
    "Dead letters dropped from the table because their tenant has too many newer ones; the topic still has them.",
    ("tenant",),
)
REPLAYS = MetricSpec(
    "incidentscope_replayed_records_total",
    "counter",
    "Records that say they replay a dead letter, by what they were: first, repeated or unfounded.",
    ("topic", "outcome"),
)
CLAMPED_ARRIVALS = MetricSpec(
    "incidentscope_clamped_arrivals_total",
    "counter",
    "Records whose Kafka timestamp lay in the future or was none; the worker's clock stands in.",
    ("topic",),
)
TICKS = MetricSpec("incidentscope_ticks_total", "counter", "Ticks sent into quiet source partitions.", ("topic",))
COMMITS = MetricSpec(
    "incidentscope_commits_total", "counter", "Offset commits by outcome: done or failed.", ("outcome",)
)
LAST_COMMIT = MetricSpec(
    "incidentscope_last_commit_timestamp_seconds", "gauge", "When offsets were last committed, as Unix time."
)
RECOVERED = MetricSpec(
    "incidentscope_recovered_inserts_total",
    "counter",
    "Inserts that a former owner had left pending, and that were made again.",
    ("topic",),
)
TAKEN_BACK = MetricSpec(
    "incidentscope_taken_back_inserts_total",
    "counter",
    "Repeated inserts that ClickHouse knew and had not whole: taken back, and made under another token.",
    ("topic",),
)
LAG_RECORDS = MetricSpec(
    "incidentscope_lag_records",
    "gauge",
    "Records of a partition not yet handled by every stage that reads it. (The committed offset trails further.)",
    ("topic", "partition"),
)
LAG_SECONDS = MetricSpec(
    "incidentscope_lag_seconds",
    "gauge",
    "Age of the oldest record of a raw partition that is not accounted for yet; 0 when there is none.",
    ("topic", "partition"),
)
UNACCOUNTED = MetricSpec(
    "incidentscope_unaccounted_records",
    "gauge",
    "Records below the committed floor of which nobody knows what became of them; must be 0.",
    ("topic", "partition"),
)
INGEST_DELAY = MetricSpec(
    "incidentscope_ingest_delay_seconds",
    "gauge",
    "Age of the newest stored event. Also grows when a tenant sends nothing, or sends what is old.",
    ("tenant", "topic"),
)
PROGRESS_DELAY = MetricSpec(
    "incidentscope_progress_delay_seconds",
    "gauge",
    "Age of the newest handled record of a source partition: how far behind the present the windows are.",
    ("topic", "partition"),
)
ASSIGNED = MetricSpec("incidentscope_assigned_partitions", "gauge", "Partitions this worker reads now.", ("topic",))
READY = MetricSpec(
    "incidentscope_worker_ready", "gauge", "1 once partitions are assigned and tables recovered, else 0."
)
REBALANCES = MetricSpec("incidentscope_rebalances_total", "counter", "Assignments of partitions so far.")
STORE_RETRIES = MetricSpec(
    "incidentscope_store_retries_total",
    "counter",
    "Calls to a store that failed and were tried again; reading stands still meanwhile.",
    ("store",),
)
STORE_SECONDS = MetricSpec(
    "incidentscope_store_seconds",
    "histogram",
    "Duration of one successful call to a store.",
    ("store", "call"),
    _SECONDS,
)
BATCH_SECONDS = MetricSpec(
    "incidentscope_batch_seconds", "histogram", "Time a stage takes for one batch of records.", ("stage",), _SECONDS
)
PARTIALS = MetricSpec(
    "incidentscope_partials_total", "counter", "Partial windows sent to telemetry.rollups.", ("stage",)
)
PANES = MetricSpec("incidentscope_panes_published_total", "counter", "ServiceHealth records published.", ("tenant",))
DEVIATIONS = MetricSpec(
    "incidentscope_deviations_total", "counter", "ServiceDeviations records published.", ("tenant", "stage")
)
WARM_STARTS = MetricSpec(
    "incidentscope_warm_starts_total",
    "counter",
    "Services whose hours of the week were looked up: known, nothing, unavailable (asked again), refused.",
    ("outcome",),
)
STATES_FORGOTTEN = MetricSpec(
    "incidentscope_states_forgotten_total",
    "counter",
    "Services of which a table remembers nothing any more, to make room: those not heard of for longest.",
    ("table",),
)
INCIDENT_EVENTS = MetricSpec(
    "incidentscope_incident_events_total", "counter", "Incident events by kind.", ("tenant", "kind")
)
HYPOTHESES = MetricSpec("incidentscope_hypothesis_sets_total", "counter", "Rankings written.", ("tenant",))
NOTIFY_DECISIONS = MetricSpec(
    "incidentscope_notify_decisions_total",
    "counter",
    "Decisions whether to notify, by named reason (schemas.incidents.NotifyReason).",
    ("tenant", "reason"),
)
DELIVERIES = MetricSpec(
    "incidentscope_alert_deliveries_total", "counter", "Attempts to deliver an alert, by outcome.", ("route", "outcome")
)

API_REQUESTS = MetricSpec(
    "incidentscope_api_requests_total",
    "counter",
    "HTTP requests by route template (never by path) and status; `aborted` when the client hung up.",
    ("method", "route", "status"),
)
API_REQUEST_SECONDS = MetricSpec(
    "incidentscope_api_request_seconds",
    "histogram",
    "Duration of an HTTP request, its body included.",
    ("method", "route"),
    _SECONDS,
)
API_OTLP_ITEMS = MetricSpec(
    "incidentscope_api_otlp_items_total",
    "counter",
    "Spans, log records and metric points received over OTLP/HTTP, by outcome: forwarded or rejected.",
    ("tenant", "signal", "outcome"),
)
API_CONNECTIONS_CUT = MetricSpec(
    "incidentscope_api_connections_cut_total",
    "counter",
    "Connections that the API ended by itself, by why: too_many, slow_headers or answer_not_taken.",
    ("reason",),
)

ALL_METRICS = tuple(value for value in list(vars().values()) if isinstance(value, MetricSpec))
