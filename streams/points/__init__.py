"""Single series of plain numbers (metrics of any unit): how unlike its past each point is, and what is found so.

values ──▶ surprises (nearest neighbours in its own past, conformal) ─┬─▶ off_metrics: what is pinned with an incident
                                                                      └─▶ alarms: one an episode, as NAB scores them
"""

from streams.points.config import PointConfig
from streams.points.findings import off_metrics
from streams.points.surprise import alarms, surprises

__all__ = ["PointConfig", "alarms", "off_metrics", "surprises"]
