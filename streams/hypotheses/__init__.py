"""Who may have caused an incident: every service ranked by a visible sum of parts. Deterministic; no language model.

TenantPicture, near deploys ──▶ RankingSnapshot (findings since the onset) ──▶ parts x weights ──▶ HypothesisSet
"""

from streams.hypotheses.picture import PictureConfig, TenantPicture
from streams.hypotheses.ranking import rank
from streams.hypotheses.snapshot import snapshot_of
from streams.hypotheses.weights import WEIGHTS, weights_of

__all__ = ["WEIGHTS", "PictureConfig", "TenantPicture", "rank", "snapshot_of", "weights_of"]
