"""The settings of the evidence series. One configuration serves every system."""

from __future__ import annotations

from dataclasses import dataclass, replace

from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class EvidenceConfig:
    """How far back is remembered, and when a change counts. Evidence is in nats, as in the baselines."""

    history_panes: int = 360
    """Trailing panes by which signatures are judged (an hour of 10 s panes)."""
    onset_panes: int = 60
    """A change is looked for in the last so many panes; what lasts longer becomes usual."""
    min_panes: int = 3
    """Panes before an onset in which the service must have been heard."""
    max_signatures: int = 128
    """Signatures remembered of one service; of more, those not seen for longest are forgotten."""
    alarm: float = 12.0
    """Evidence of a change that is believed."""
    ceiling: float = 1.3
    """What is told is capped at this many alarms."""
    told: float = 0.25
    """Changes with less than this share of an alarm are not told."""
    new_lines: float = 2.0
    """Lines that one pane can argue with at most when a signature was never seen: one request may write many ..."""
    burst: float = 10.0
    """... and else this multiple of its usual lines a pane, if that is more."""
    gone: float = 0.1
    """A signature that falls below this share of its usual rate is gone."""

    @staticmethod
    def from_settings(settings: Settings) -> EvidenceConfig:
        """Keep the lengths in time, whatever the pane length."""
        factor = 10.0 / settings.pane_s
        plain = EvidenceConfig()
        return replace(
            plain,
            history_panes=max(60, round(plain.history_panes * factor)),
            onset_panes=max(10, round(plain.onset_panes * factor)),
        )
