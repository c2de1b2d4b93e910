"""Record keys and headers: how the tenant travels, and what co-locates with what.

A tenant id is restricted to ``[A-Za-z0-9._-]{1,64}``, so the first ``|`` of a key always ends it and no
tenant can forge another's key.
"""

from __future__ import annotations

import re

TENANT_HEADER = "x-tenant-id"
"""Kafka and HTTP header naming the tenant of a record."""

ARRIVAL_HEADER = "x-arrival-unix-nano"
"""Replay only: the recorded arrival time of a record, in place of Kafka's timestamp (decimal nanoseconds).

A tenant whose records carry it is on a *driven clock*: wall-clock ticks do not move its windows.
"""

TICK_HEADER = "x-incidentscope-tick"
"""Marks a record that carries time and no telemetry; its value is empty (a valid, empty OTLP request)."""

TENANT_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")

UNKNOWN_SERVICE = "unknown_service"
"""Stands for a resource without ``service.name`` (OpenTelemetry resource semantic conventions)."""

OVERFLOW_OPERATION = "__overflow__"
"""Takes the operations beyond the cap of a service, so its error rate stays right."""

OVERFLOW_SERVICE = "__overflow__"
"""Takes the services beyond the cap of a tenant."""

CLIENT_NODE = "client"
"""The virtual node in front of a service whose caller sends no telemetry."""

UNKNOWN_NODE = "unknown"
"""The virtual node behind a client span that names no peer and whose server span never came."""

PROGRESS_KEY = b"\x00progress"
"""Key of a record that carries `streams.progress.Progress` and no data; consumers of the JSON topics skip it."""


RESERVED_TENANTS = frozenset({"unknown"})
"""Names that mean nobody: the dead letters of records without a tenant are kept under ``unknown``."""


def is_tenant(text: str) -> bool:
    """Tell whether ``text`` may be a tenant id."""
    return TENANT_PATTERN.fullmatch(text) is not None and text not in RESERVED_TENANTS


def tenant_key(tenant: str) -> bytes:
    """Return the key of a record that belongs to a whole tenant."""
    return tenant.encode()


def service_key(tenant: str, service: str) -> bytes:
    """Return the key of a record that belongs to one service (or virtual node) of a tenant."""
    return f"{tenant}|{service}".encode()
