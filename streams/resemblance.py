"""What an incident is like: features that can be named, and their vector, so that incidents alike are found.

The vector is the features hashed into a fixed number of dimensions with a sign (feature hashing: Weinberger et al.,
ICML 2009), of length 1; the cosine of two vectors is then the weighted share of features that both have.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping

from schemas.incidents import HypothesisSet
from schemas.snapshots import NodeFinding, RankingSnapshot

DIMENSIONS = 512
"""Of the stored vectors. An incident has some dozens of features, so few share a dimension."""

CLEAR = 1.0
"""Strength from which a series counts as a symptom."""

MOST_LINES = 16
"""Error lines that speak for an incident."""

_MOST_SUSPECTS = 3
_MASK = re.compile(r"<[^<>\s]*>")
_SERVICE, _SYMPTOM, _STOP, _SIGNATURE, _SUSPECT, _CHANGE = 0.5, 1.0, 1.5, 1.5, 2.0, 1.0
_STRONGEST = 3.0


def features_of(ranking: HypothesisSet, snapshot: RankingSnapshot) -> dict[str, float]:
    """Return the incident's features and their weights, by name; names sorted. Deterministic.

    ``service NAME`` deviated; ``symptom SERIES of NAME`` (or of an edge) is how; ``stop of NAME``; ``signature`` is a
    kind of error line that is new or rising; ``suspect`` and ``change`` are of the leading hypotheses.
    """
    found: dict[str, float] = {}
    for node in snapshot.nodes:
        for name, weight in _symptoms(node):
            found[name] = max(weight, found.get(name, 0.0))
    for name, weight in _beliefs(ranking):
        found[name] = max(weight, found.get(name, 0.0))
    return dict(sorted(found.items()))


def _symptoms(node: NodeFinding) -> Iterator[tuple[str, float]]:
    clear = [series for series in node.series if series.strength >= CLEAR]
    if clear or node.stop is not None:
        yield f"service {node.service}", _SERVICE
    for series in clear:
        place = node.service if series.client is None else f"{series.client} → {node.service}"
        yield f"symptom {series.kind} of {place}", _SYMPTOM * min(series.strength, _STRONGEST) / _STRONGEST
    if node.stop is not None:
        yield f"stop of {node.service}", _STOP
    for signature in node.signatures:
        if signature.change != "gone":
            yield f"signature {signature.kind} of {node.service}: {signature.template}", _SIGNATURE


def _beliefs(ranking: HypothesisSet) -> Iterator[tuple[str, float]]:
    leading = [one for one in ranking.hypotheses if one.rank <= _MOST_SUSPECTS and one.score > 0]
    for one in leading:
        place = one.service if one.edge_client is None else f"{one.edge_client} → {one.service}"
        yield f"suspect {one.suspect_kind} {place}", _SUSPECT * one.score / leading[0].score
        if one.deploy_id is not None:
            yield f"change of {one.service}", _CHANGE


def lines_of(snapshot: RankingSnapshot) -> list[str]:
    """Return the error lines that are new or rising, without what was masked; those with most evidence first.

    They say in words what went wrong, whatever the services are called.
    """
    found = {
        " ".join(_MASK.sub(" ", signature.template).split()): signature.series.evidence
        for node in snapshot.nodes
        for signature in node.signatures
        if signature.change != "gone"
    }
    found.pop("", None)
    return sorted(found, key=lambda line: (-found[line], line))[:MOST_LINES]


def vector_of(features: Mapping[str, float]) -> list[float]:
    """Return the unit vector of some features, shape (`DIMENSIONS`,); zeros where there are none."""
    vector = [0.0] * DIMENSIONS
    for name, weight in features.items():
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        vector[number % DIMENSIONS] += weight if number >> 63 else -weight
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector
