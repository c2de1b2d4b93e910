"""The operator: one pane of one service, and what in it may explain a fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgpack

from schemas.deviations import SeriesKind, SeriesScore, SignatureChange
from schemas.health import ServiceHealth, SignatureCount
from streams.evidence.config import EvidenceConfig
from streams.evidence.lines import LineHistory
from streams.evidence.news import Change

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one pane says beside its latencies and errors."""

    signatures: list[SignatureChange] = field(default_factory=list)


@dataclass(slots=True)
class EvidenceMemory:
    """The state of one service: its lines by pane, and the texts of its signatures (for those that are gone)."""

    lines: LineHistory = field(default_factory=LineHistory)
    texts: dict[str, list[Any]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the state as msgpack."""
        return bytes(msgpack.packb([_VERSION, self.lines.packed(), self.texts]))

    @staticmethod
    def decode(raw: bytes | None) -> EvidenceMemory:
        """Read `encode` back; nothing, or a state of another version, is a fresh start."""
        body: list[Any] = msgpack.unpackb(raw) if raw else [0]
        return EvidenceMemory(LineHistory.unpacked(body[1]), body[2]) if body[0] == _VERSION else EvidenceMemory()


class EvidenceFold:
    """Judge panes of a service. Pure: the state belongs to the caller.

    Stepping a pane again, or a newer revision of it, replaces what it said before; what is told of a pane follows from
    the panes up to it alone.
    """

    def __init__(self, config: EvidenceConfig | None = None) -> None:
        self.config = config or EvidenceConfig()

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, Evidence]:
        """Return the new state and what the pane says."""
        memory = EvidenceMemory.decode(state)
        evidence = self.advance(memory, health)
        return memory.encode(), evidence

    def advance(self, memory: EvidenceMemory, health: ServiceHealth) -> Evidence:
        """As `step`, with the state unpacked and changed in place."""
        self.learn(memory, health)
        return Evidence(self._signatures(memory, health))

    def learn(self, memory: EvidenceMemory, health: ServiceHealth) -> None:
        """Take the pane without telling what it says, as for a revision that nobody is told of."""
        memory.lines.take(health, self.config)
        for one in health.signatures:
            memory.texts[one.signature] = [one.kind, one.template, one.severity, one.first_seen_ns]
        memory.texts = {name: memory.texts[name] for name in memory.lines.lines if name in memory.texts}

    def _signatures(self, memory: EvidenceMemory, health: ServiceHealth) -> list[SignatureChange]:
        present = {one.signature: one for one in health.signatures}
        told = []
        for name, (change, since_ns) in memory.lines.judge(health.pane_start_ns, self.config).items():
            seen = present.get(name) or _of_texts(name, memory.texts.get(name))
            if seen is not None and self._is_worth_telling(change):
                told.append(self._told(seen, change, since_ns, health))
        return sorted(told, key=lambda one: (-one.series.evidence, one.series.name or ""))

    def _is_worth_telling(self, change: Change) -> bool:
        falls = change.since < change.usual
        return change.evidence >= self.config.told * self.config.alarm and not (
            falls and change.since > self.config.gone * change.usual
        )

    def _told(self, seen: SignatureCount, change: Change, since_ns: int, health: ServiceHealth) -> SignatureChange:
        series = SeriesScore(
            kind=SeriesKind.SIGNATURE,
            name=seen.signature,
            value=round(change.since, 4),
            median=round(change.usual, 4),
            scale=round(max(change.usual, 1.0) ** 0.5, 4),
            score=round((change.since - change.usual) / max(change.usual, 1.0) ** 0.5, 3),
            unit="lines",
            requests=health.pane.requests,
            evidence=round(min(change.evidence / self.config.alarm, self.config.ceiling), 4),
            deviating=change.evidence >= self.config.alarm,
            since_ns=since_ns,
        )
        return SignatureChange(
            change=_kind_of(seen, change, since_ns),
            kind=seen.kind,
            template=seen.template,
            severity=seen.severity,
            first_seen_ns=seen.first_seen_ns,
            sample=seen.sample,
            sample_trace_id=seen.sample_trace_id,
            pane_s=health.pane_s,
            series=series,
        )


def _kind_of(seen: SignatureCount, change: Change, since_ns: int) -> Literal["new", "rising", "gone"]:
    if change.since < change.usual:
        return "gone"
    return "rising" if change.seen_before or seen.first_seen_ns < since_ns else "new"


def _of_texts(name: str, texts: list[Any] | None) -> SignatureCount | None:
    """Return a signature that the picture does not show any more."""
    if texts is None:
        return None
    kind, template, severity, first_seen_ns = texts
    return SignatureCount.model_construct(
        signature=name, kind=kind, template=template, severity=severity, pane=0, window=0,
        first_seen_ns=first_seen_ns, sample="", sample_trace_id="",
    )  # fmt: skip
