"""The worker's metrics, made from `schemas.metric_names` in prometheus-client's default registry.

The API in the same process serves that registry; a worker of its own serves it on ``worker_port``.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from schemas import metric_names as names
from schemas.metric_names import OTHER_TENANTS, TENANT_LABELS, MetricSpec


def _counter(spec: MetricSpec) -> Counter:
    return Counter(spec.name, spec.meaning, spec.labels)


def _gauge(spec: MetricSpec) -> Gauge:
    return Gauge(spec.name, spec.meaning, spec.labels)


def _histogram(spec: MetricSpec) -> Histogram:
    return Histogram(spec.name, spec.meaning, spec.labels, buckets=spec.buckets)


RECORDS = _counter(names.RECORDS)
RECORDS_MISSING = _counter(names.RECORDS_MISSING)
RECORDS_DROPPED = _counter(names.RECORDS_DROPPED)
ITEMS = _counter(names.ITEMS)
LOSSES = _counter(names.LOSSES)
LATE_ITEMS = _counter(names.LATE_ITEMS)
REVISIONS = _counter(names.REVISIONS)
LATE_PANES = _gauge(names.LATE_PANES)
REJECTS = _counter(names.REJECTS)
DEAD_LETTERS = _counter(names.DEAD_LETTERS)
PROBES = _counter(names.PROBES)
LETTERS_FORGOTTEN = _counter(names.LETTERS_FORGOTTEN)
REPLAYS = _counter(names.REPLAYS)
CLAMPED_ARRIVALS = _counter(names.CLAMPED_ARRIVALS)
TICKS = _counter(names.TICKS)
COMMITS = _counter(names.COMMITS)
LAST_COMMIT = _gauge(names.LAST_COMMIT)
RECOVERED = _counter(names.RECOVERED)
TAKEN_BACK = _counter(names.TAKEN_BACK)
LAG_RECORDS = _gauge(names.LAG_RECORDS)
LAG_SECONDS = _gauge(names.LAG_SECONDS)
UNACCOUNTED = _gauge(names.UNACCOUNTED)
INGEST_DELAY = _gauge(names.INGEST_DELAY)
PROGRESS_DELAY = _gauge(names.PROGRESS_DELAY)
ASSIGNED = _gauge(names.ASSIGNED)
READY = _gauge(names.READY)
REBALANCES = _counter(names.REBALANCES)
STORE_RETRIES = _counter(names.STORE_RETRIES)
STORE_SECONDS = _histogram(names.STORE_SECONDS)
BATCH_SECONDS = _histogram(names.BATCH_SECONDS)
PARTIALS = _counter(names.PARTIALS)
PANES = _counter(names.PANES)
DEVIATIONS = _counter(names.DEVIATIONS)
WARM_STARTS = _counter(names.WARM_STARTS)
STATES_FORGOTTEN = _counter(names.STATES_FORGOTTEN)
INCIDENT_EVENTS = _counter(names.INCIDENT_EVENTS)
HYPOTHESES = _counter(names.HYPOTHESES)
NOTIFY_DECISIONS = _counter(names.NOTIFY_DECISIONS)
DELIVERIES = _counter(names.DELIVERIES)

_labelled_tenants: set[str] = set()
_labelled_services: set[tuple[str, str]] = set()


def tenant_label(tenant: str) -> str:
    """Return the label value for ``tenant``: itself for the first `TENANT_LABELS` tenants seen, else ``__other__``."""
    if tenant in _labelled_tenants:
        return tenant
    if len(_labelled_tenants) >= TENANT_LABELS:
        return OTHER_TENANTS
    _labelled_tenants.add(tenant)
    return tenant


def service_labels(tenant: str, service: str) -> tuple[str, str]:
    """Return the label values for a service of a tenant: ``__other__`` beyond the first `TENANT_LABELS` services."""
    known = (tenant, service) in _labelled_services
    if not known and len(_labelled_services) >= TENANT_LABELS:
        return tenant_label(tenant), OTHER_TENANTS
    _labelled_services.add((tenant, service))
    return tenant_label(tenant), service
