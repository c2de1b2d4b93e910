"""The weights of the score's parts. A change of any number is a new version: rankings name the one that made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARTS: Mapping[str, str] = {
    "self_time": "Own time above normal: powers of ten of its robust score.",
    "gap": "Network and queue time of the edges, as far as they blame this end.",
    "dependency": "Latency of a node that sends no telemetry, as its clients see it.",
    "own_errors": "Failed requests that no failing callee explains.",
    "log_errors": "Error logs above normal that no callee in trouble explains.",
    "new_signature": "Error lines or exceptions that are new (1) or rising here and at no callee.",
    "origin": "Traces that fail first here, among those that pass through: twice the square root of their share.",
    "spectrum": "How alike passing through here and being a slow or failing trace are (Ochiai, 0 to 1).",
    "instances": "How far failed or slow requests keep to one of several instances of the service (0 to 1).",
    "metrics": "How much farther a metric of it left its past than any of another service (0 to 1).",
    "missing_calls": "Calls per request that this node no longer makes: twice the square root of their share.",
    "stopped": "Requests that stopped coming (0 or 1).",
    "first": "How early it began among the suspects (0 to 1).",
    "deploy": "A deploy of this service shortly before the onset (0 to 1).",
    "load": "More requests than normal where the users come in.",
    "budget": "Where nothing else speaks: its budget burns, or failing traces fail first here (0 to 1).",
}
"""Every part of a score and what it says; values lie between 0 and about 3 unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each part in `PARTS`, and how sure a score may be."""

    version: str
    of: Mapping[str, float]
    certainty: float
    """A suspect's odds are exp(this times its score) ..."""
    nobody: float
    """... against the other suspects, and against nobody of them, whose score this is."""


WEIGHTS = Weights(
    "2026-11-h",
    {
        "self_time": 1.0,
        "gap": 1.0,
        "dependency": 1.0,
        "own_errors": 1.2,
        "log_errors": 1.0,
        "new_signature": 0.4,
        "origin": 0.8,
        "spectrum": 0.4,
        "instances": 0.5,
        "metrics": 0.4,
        "missing_calls": 0.05,
        "stopped": 1.0,
        "first": 0.4,
        "deploy": 0.8,
        "load": 0.4,
        "budget": 0.4,
    },
    certainty=3.4,
    nobody=0.9,
)
