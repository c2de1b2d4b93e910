"""What is the same for all three signals: walk the resources, name their service, keep to the caps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.errors import BadPayload, RejectReason
from schemas.keys import UNKNOWN_SERVICE
from streams.otlp.attributes import Names, cut, read_attributes
from streams.otlp.columns import MAX_ITEMS, MAX_RESOURCES

INSTANCE_KEYS = ("service.instance.id", "k8s.pod.name", "host.name")
"""What tells instances apart: the first that a resource has."""

TIER_KEY = "service.criticality"
TIERS = ("", "low", "medium", "high", "critical")
"""The well-known values of it (semantic conventions, in development), lowest first; any other is none."""

RESOURCE_KEYS = frozenset(key.encode() for key in ("service.name", "service.version", TIER_KEY, *INSTANCE_KEYS))


class ResourceNames(NamedTuple):
    """Indices into `Names`; instance and version are -1 when the resource does not say."""

    service: int
    instance: int
    version: int
    tier: int
    """Its place in `TIERS`."""


def name_resource(resource: Any, names: Names) -> ResourceNames:
    """Intern the service name, instance and version of a resource, and read its tier."""
    attributes = read_attributes(resource.attributes, RESOURCE_KEYS)
    instance = next((attributes[key] for key in INSTANCE_KEYS if attributes.get(key)), "")
    version = attributes.get("service.version", "")
    return ResourceNames(
        names.of_text(attributes.get("service.name", "") or UNKNOWN_SERVICE),
        names.of_text(instance) if instance else -1,
        names.of_text(version) if version else -1,
        tier_of(attributes.get(TIER_KEY, "")),
    )


def tier_of(text: str) -> int:
    """Return the place of a tier in `TIERS`, 0 where it is none."""
    return TIERS.index(text) if text in TIERS else 0


def service_and_instance(attributes: Iterable[bytes]) -> tuple[str, str]:
    """Return the service and the instance of unparsed resource attributes; no instance is empty."""
    found = read_attributes(attributes, RESOURCE_KEYS)
    instance = next((found[key] for key in INSTANCE_KEYS if found.get(key)), "")
    return cut(found.get("service.name", "") or UNKNOWN_SERVICE)[0], cut(instance)[0]


def check_caps(items_by_resource: list[int]) -> int:
    """Return the number of items; raises `BadPayload` (``too_many_items``) beyond the caps of a message."""
    items = sum(items_by_resource)
    resources = sum(1 for count in items_by_resource if count)
    if items > MAX_ITEMS:
        raise BadPayload(RejectReason.TOO_MANY_ITEMS, f"{items} items, at most {MAX_ITEMS} are taken")
    if resources > MAX_RESOURCES:
        raise BadPayload(RejectReason.TOO_MANY_ITEMS, f"{resources} resources, at most {MAX_RESOURCES} are taken")
    return items
