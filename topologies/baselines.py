"""What is unusual for a service, measured against its own recent past, and what may explain it.

::

    health ──▶ JudgeFold (table: trailing medians and signatures per service) ──▶ deviations
"""

from __future__ import annotations

from schemas.topics import BASELINES_TABLE
from streams.judging import JudgeFold
from topologies.deviating import DeviationStage
from topologies.wiring import Wiring

STAGE = "baselines"


def baselines(wiring: Wiring) -> DeviationStage:
    """Return the baselines stage."""
    fold = JudgeFold.from_settings(wiring.settings)
    return DeviationStage(wiring, STAGE, fold, BASELINES_TABLE, shows_badges=True)
