"""What explains an incident and never opens one: signatures that are new, rising or gone, and metrics off their past.

    ServiceHealth ──▶ LineHistory (counts of signatures by pane) ──▶ two-rate test over onsets ──▶ SignatureChange

`EvidenceFold` is the whole operator: bytes of state in, bytes of state out.
"""

from streams.evidence.config import EvidenceConfig
from streams.evidence.fold import Evidence, EvidenceFold, EvidenceMemory

__all__ = ["Evidence", "EvidenceConfig", "EvidenceFold", "EvidenceMemory"]
