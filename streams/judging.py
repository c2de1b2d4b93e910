"""All that is judged of one pane of one service: what deviates, and what may explain it.

ServiceHealth ──┬──▶ BaselineFold ──▶ ServiceDeviations ─┐
                └──▶ EvidenceFold ──▶ signatures ────────┴──▶ one ServiceDeviations
"""

from __future__ import annotations

from typing import Any

import msgpack

from schemas.events import ServiceDeviations, ServiceHealth
from schemas.settings import Settings
from streams.baselines import BaselineConfig, BaselineFold
from streams.evidence import EvidenceConfig, EvidenceFold


class JudgeFold:
    """Judge panes of a service. Pure: the state, of both operators, belongs to the caller."""

    def __init__(self, baselines: BaselineFold | None = None, evidence: EvidenceFold | None = None) -> None:
        self._baselines = baselines or BaselineFold()
        self._evidence = evidence or EvidenceFold()

    @staticmethod
    def from_settings(settings: Settings) -> JudgeFold:
        """Return the fold as an operator has set it."""
        baselines = BaselineFold(BaselineConfig.from_settings(settings))
        return JudgeFold(baselines, EvidenceFold(EvidenceConfig.from_settings(settings)))

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, ServiceDeviations | None]:
        """Return the new state and the pane's deviations; None as `BaselineFold.step` says."""
        baseline_state, evidence_state = _parts(state)
        baseline_state, deviations = self._baselines.step(baseline_state, health)
        evidence_state, evidence = self._evidence.step(evidence_state, health)
        if deviations is not None:
            deviations = deviations.model_copy(update={"signatures": evidence.signatures})
        return bytes(msgpack.packb([baseline_state, evidence_state])), deviations


def _parts(state: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Return both states; one kept before there was evidence is the baselines' alone."""
    if state is None:
        return None, None
    body: Any = msgpack.unpackb(state, strict_map_key=False)
    return (body[0], body[1]) if isinstance(body, list) else (state, None)
