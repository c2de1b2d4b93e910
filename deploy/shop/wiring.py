"""What a process of the shop must know, handed from the parent to its children in one environment variable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VARIABLE = "SHOP_WIRING"

SERVICES = ("storefront", "catalog", "pricing", "recommendations", "cart", "checkout", "payments", "shipping")
SLOW_LANE = "slow-lane"
"""The proxy between checkout and payments; what `addresses` holds for it is what checkout calls."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Addresses of the services, the database, the fault switch and the load."""

    addresses: Mapping[str, str]
    """Service name (or `SLOW_LANE`) to ``host:port``."""
    postgres_dsn: str
    faults_file: str
    """Where the fault switch is."""
    owner_pid: int
    """The process that started the shop; when it is gone the shop ends."""
    rate_per_s: float = 12.0
    """Journeys a second that begin; 12 give about 150 spans a second and take a third of a slow core."""
    seed: int = 1

    def url(self, service: str) -> str:
        """Return the root URL of a service."""
        return f"http://{self.addresses[service]}"

    def to_environment(self) -> dict[str, str]:
        """Return the environment a child needs to find this again (never on a command line: it holds a password)."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Wiring:
        """Read what the parent left."""
        return cls(**json.loads(os.environ[VARIABLE]))
