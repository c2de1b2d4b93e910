"""What a process of the shop must know, handed from the parent to its children in one environment variable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

VARIABLE = "SHOP_WIRING"

SERVICES = ("storefront", "catalog", "pricing", "recommendations", "cart", "checkout", "payments", "shipping")
TWO_INSTANCES = ("catalog",)
"""Services that run twice; their clients take turns between the two."""
CARD_NETWORK = "api.card-network.example"
"""The host behind payments that is not ours: it sends no telemetry."""
LANES = (("checkout", "payments"), ("storefront", "recommendations"), ("cart", "pricing"))
"""Connections (client, server) that lead through a proxy, so that they can be made slow."""


def lane(client: str, server: str) -> str:
    """Return the name of a connection."""
    return f"{client}>{server}"


def places(service: str) -> tuple[str, ...]:
    """Return the names of a service's instances; the first has the name of the service."""
    return (service, f"{service}-2") if service in TWO_INSTANCES else (service,)


@dataclass(frozen=True, slots=True)
class Wiring:
    """Addresses of the services, the database, the fault switch and the load."""

    addresses: Mapping[str, Sequence[str]]
    """Host name to the ``host:port`` of each instance, as this process is to reach it."""
    postgres_dsn: str
    faults_file: str
    """Where the fault switch is."""
    rate_per_s: float = 6.0
    """Journeys a second that begin; 12 give about 150 spans a second and take a third of a slow core."""
    seed: int = 1

    def to_environment(self) -> dict[str, str]:
        """Return the environment a child needs to find this again (never on a command line: it holds a password)."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Wiring:
        """Read what the parent left."""
        return cls(**json.loads(os.environ[VARIABLE]))
