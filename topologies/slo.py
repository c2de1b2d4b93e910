"""How fast a service burns its budgets: of errors, and of slow requests where there is such an objective.

::

    health ──▶ BurnRateFold (table: burn-rate windows per service) ──▶ deviations (series BURN_RATE only)
"""

from __future__ import annotations

from schemas.topics import SLO_TABLE
from streams.slo import BurnRateFold, SloConfig
from topologies.deviating import DeviationLane, DeviationStage
from topologies.wiring import Wiring

STAGE = "slo"


def slo(wiring: Wiring) -> DeviationStage[DeviationLane]:
    """Return the slo stage."""
    fold = BurnRateFold(SloConfig.from_settings(wiring.settings))
    return DeviationStage(wiring, STAGE, fold, SLO_TABLE, DeviationLane)
