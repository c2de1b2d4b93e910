"""All that is judged of one pane of one service: what deviates, and what may explain it.

ServiceHealth ──┬──▶ BaselineFold ──▶ ServiceDeviations ─┐
                ├──▶ SiblingFold ───▶ series of instances┤
                ├──▶ VersionFold ───▶ versions, changes ─┤
                └──▶ EvidenceFold ──▶ signatures ────────┴──▶ one ServiceDeviations
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from schemas.deviations import SeriesScore, ServiceDeviations, VersionShare
from schemas.health import ServiceHealth
from schemas.settings import Settings
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.baselines.hour_cells import HourCells
from streams.evidence import EvidenceConfig, EvidenceFold, EvidenceMemory
from streams.siblings import SiblingConfig, SiblingFold, SiblingMemory
from streams.siblings.usual import usual_tail_ms
from streams.versions import VersionFold, VersionMemory
from streams.windows import Loss


@dataclass(slots=True)
class JudgeMemory:
    """What the operators remember of one service."""

    baselines: BaselineState = field(default_factory=BaselineState)
    evidence: EvidenceMemory = field(default_factory=EvidenceMemory)
    siblings: SiblingMemory = field(default_factory=SiblingMemory)
    versions: VersionMemory = field(default_factory=VersionMemory)

    def encode(self) -> bytes:
        """Return the state as msgpack."""
        parts = (self.baselines, self.evidence, self.siblings, self.versions)
        return bytes(msgpack.packb([part.encode() for part in parts]))

    @staticmethod
    def decode(raw: bytes | None, hours: HourCells | None = None) -> JudgeMemory:
        """Read `encode` back, with the `hours` of the week, which are kept apart; nothing is a fresh start.

        A state from before there was evidence is the baselines'; older ones have fewer parts.
        """
        if raw is None:
            return JudgeMemory(BaselineState.decode(None, hours))
        body: Any = msgpack.unpackb(raw, strict_map_key=False)
        parts = [*(body if isinstance(body, list) else [raw]), None, None, None]
        baselines, evidence, siblings, versions = parts[:4]
        return JudgeMemory(
            BaselineState.decode(baselines, hours), EvidenceMemory.decode(evidence), SiblingMemory.decode(siblings),
            VersionMemory.decode(versions),
        )  # fmt: skip


class JudgeFold:
    """Judge panes of a service. Pure: the state, of all operators, belongs to the caller."""

    def __init__(
        self, baselines: BaselineFold | None = None, evidence: EvidenceFold | None = None,
        siblings: SiblingFold | None = None,
    ) -> None:  # fmt: skip
        self._baselines = baselines or BaselineFold()
        self._evidence = evidence or EvidenceFold()
        self._siblings = siblings or SiblingFold(SiblingConfig.of(self._baselines.config))
        self._versions = VersionFold()

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
        of_instances = self._instances(memory, health)
        versions = self._several_versions(memory, health)
        if deviations is None:
            self._evidence.learn(memory.evidence, health)
            return None
        evidence = self._evidence.advance(memory.evidence, health)
        told: dict[str, Any] = {"signatures": evidence.signatures, "versions": versions}
        if of_instances:
            told["series"] = [*deviations.series, *of_instances]
        return deviations.model_copy(update=told)

    def drain_losses(self) -> list[Loss]:
        """Return what has no series of its own since the last drain."""
        return self._baselines.drain_losses()

    def _instances(self, memory: JudgeMemory, health: ServiceHealth) -> list[SeriesScore]:
        if not health.instances or (len(health.instances) < 2 and not memory.siblings.snapshots):
            return []
        usual_ms = usual_tail_ms(memory.baselines, health.pane_start_ns, self._baselines.config)
        return self._siblings.advance(memory.siblings, health, usual_ms)

    def _several_versions(self, memory: JudgeMemory, health: ServiceHealth) -> list[VersionShare]:
        if not health.versions:
            return []
        usual_ms = None
        if len(memory.versions.rows) > 1:
            usual_ms = usual_tail_ms(memory.baselines, health.pane_start_ns, self._baselines.config)
        return self._versions.advance(memory.versions, health, usual_ms)
