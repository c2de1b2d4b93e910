"""The API's metrics, made from `schemas.metric_names` in prometheus-client's default registry.

A worker in the same process registers its own there, so one ``/metrics`` serves both.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from schemas import metric_names as names

REQUESTS = Counter(names.API_REQUESTS.name, names.API_REQUESTS.meaning, names.API_REQUESTS.labels)
REQUEST_SECONDS = Histogram(
    names.API_REQUEST_SECONDS.name,
    names.API_REQUEST_SECONDS.meaning,
    names.API_REQUEST_SECONDS.labels,
    buckets=names.API_REQUEST_SECONDS.buckets,
)
OTLP_ITEMS = Counter(names.API_OTLP_ITEMS.name, names.API_OTLP_ITEMS.meaning, names.API_OTLP_ITEMS.labels)
CONNECTIONS_CUT = Counter(
    names.API_CONNECTIONS_CUT.name, names.API_CONNECTIONS_CUT.meaning, names.API_CONNECTIONS_CUT.labels
)
