"""Who may have caused an incident: every service ranked by a visible sum of parts. Deterministic; no language model.

TenantPicture ──▶ findings (since the onset) ──▶ blame of edges ──▶ parts x weights ──▶ HypothesisSet
near deploys ──────────────────────────────────────────────────────┘
"""

from streams.hypotheses.picture import PictureConfig, TenantPicture
from streams.hypotheses.ranking import rank
from streams.hypotheses.weights import WEIGHTS, Weights

__all__ = ["WEIGHTS", "PictureConfig", "TenantPicture", "Weights", "rank"]
