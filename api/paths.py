"""Where things are: the prefixes of the routes, and the paths that answers point to."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.convertors import Convertor, register_url_convertor

API: Final = "/api/v1"
"""Prefix of the REST routes; there are no unversioned aliases."""

OTLP: Final = "/v1/"
"""Where the OTLP specification fixes the paths."""


class NameConvertor(Convertor[str]):
    """What a name may be in a path, ``{service:name}``: anything, slashes and line breaks too."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Return the name."""
        return value

    def to_string(self, value: str) -> str:
        """Return the name as part of a path."""
        return quote(value, safe="")


register_url_convertor("name", NameConvertor())


def incident_path(incident_id: str) -> str:
    """Return the path of an incident."""
    return f"{API}/incidents/{quote(incident_id, safe='')}"


def health_path(service: str, start_ns: int, end_ns: int) -> str:
    """Return the path of a service's health series."""
    return f"{API}/services/{quote(service, safe='')}/health?start={start_ns}&end={end_ns}"


def trace_path(trace_id: str) -> str:
    """Return the path of a trace (32 hex digits)."""
    return f"{API}/traces/{trace_id}"


def map_path(at_ns: int) -> str:
    """Return the path of the service map at an instant."""
    return f"{API}/edges?at={at_ns}"
