"""All that is judged of one pane of one service: what deviates, and what may explain it.

ServiceHealth ──┬──▶ BaselineFold ──▶ ServiceDeviations ─┐
                └──▶ EvidenceFold ──▶ signatures ────────┴──▶ one ServiceDeviations
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from schemas.deviations import ServiceDeviations
from schemas.health import ServiceHealth
from schemas.settings import Settings
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.baselines.hour_cells import HourCells
from streams.evidence import EvidenceConfig, EvidenceFold, EvidenceMemory


@dataclass(slots=True)
class JudgeMemory:
    """What both operators remember of one service."""

    baselines: BaselineState = field(default_factory=BaselineState)
    evidence: EvidenceMemory = field(default_factory=EvidenceMemory)

    def encode(self) -> bytes:
        """Return the state as msgpack."""
        return bytes(msgpack.packb([self.baselines.encode(), self.evidence.encode()]))

    @staticmethod
    def decode(raw: bytes | None, hours: HourCells | None = None) -> JudgeMemory:
        """Read `encode` back, with the `hours` of the week, which are kept apart; nothing is a fresh start.

        A state from before there was evidence is the baselines'.
        """
        if raw is None:
            return JudgeMemory(BaselineState.decode(None, hours))
        body: Any = msgpack.unpackb(raw, strict_map_key=False)
        baselines, evidence = body if isinstance(body, list) else (raw, None)
        return JudgeMemory(BaselineState.decode(baselines, hours), EvidenceMemory.decode(evidence))


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
        memory = JudgeMemory.decode(state)
        deviations = self.advance(memory, health)
        return memory.encode(), deviations

    def advance(self, memory: JudgeMemory, health: ServiceHealth) -> ServiceDeviations | None:
        """As `step`, with the state unpacked and changed in place."""
        deviations, _ = self._baselines.advance(memory.baselines, health)
        if deviations is None:
            self._evidence.learn(memory.evidence, health)
            return None
        evidence = self._evidence.advance(memory.evidence, health)
        return deviations.model_copy(update={"signatures": evidence.signatures})
