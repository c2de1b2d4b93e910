"""What is unusual for a service, measured against its own recent past.

::

    health ──▶ BaselineFold (table: trailing medians per service) ──▶ deviations
"""

from __future__ import annotations

from schemas.topics import BASELINES_TABLE
from streams.baselines import BaselineConfig, BaselineFold
from topologies.deviating import DeviationStage
from topologies.wiring import Wiring

STAGE = "baselines"


def baselines(wiring: Wiring) -> DeviationStage:
    """Return the baselines stage."""
    fold = BaselineFold(BaselineConfig.from_settings(wiring.settings))
    return DeviationStage(wiring, STAGE, fold, BASELINES_TABLE, shows_badges=True)
