"""Published ways to rank suspects, to be compared with ours: they are told the true onset and get five minutes of data.

- `methods` works on windows: largest p95 ratio, N-sigma, random walk, robust scorer.
- `microrank` works on the spans themselves.
"""

from streams.rankers.methods import RANKERS, Ranker
from streams.rankers.microrank import MicroRank
from streams.rankers.panel import Panel, PanelBuilder

__all__ = ["RANKERS", "MicroRank", "Panel", "PanelBuilder", "Ranker"]
