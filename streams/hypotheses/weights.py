"""The weights of the score's parts.

A change of any number is a new version. A part whose value is computed in another way is a new part with a name of its
own, or a rule that weights name (`calls_explain`); the old one stays as long as rankings with it are to be made again.
Weights name the parts of their score, so those of before know nothing of a later one. `tests/data/rankings` holds
rankings of every version.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.errors import NotFound
from schemas.snapshots import RankingSnapshot, Weights

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
    "distance": "How far below where users feel it, of the farthest suspect (0 to 1); by itself nothing.",
    "budget": "Where nothing else speaks: its budget burns, or failing traces fail first here (0 to 1).",
}
"""Every part of a score and what it says; values lie between 0 and about 3 unless said otherwise."""


WEIGHTS = Weights(
    version="2026-11-j",
    of={
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
        "distance": 0.3,
        "budget": 0.4,
    },
    apart=0.4,
    calls_explain=True,
    certainty=4.0,
    nobody=1.2,
)
"""Those of this build; a snapshot takes them with it."""

_OF_BEFORE = (
    Weights(
        version="2026-11-h",
        of={
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
        apart=0.4,
        certainty=3.4,
        nobody=0.9,
    ),
)
"""Versions that rankings were made with whose snapshots do not have them."""


def weights_of(snapshot: RankingSnapshot, named: str) -> Weights:
    """Return the weights of a stored ranking: those in its snapshot, or of older ones those of the version it names.

    Raises `NotFound` when this build does not know that version.
    """
    known = snapshot.weights or next((one for one in (WEIGHTS, *_OF_BEFORE) if one.version == named), None)
    if known is None:
        raise NotFound(f"weights {named} are not kept in the snapshot, and this build does not know them")
    return known
