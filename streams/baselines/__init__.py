"""What is normal for a service, and how far a pane is from it.

    ServiceHealth ──▶ measures ─┬▶ history (trailing median / MAD) ──────┬▶ evidence over panes ──▶ ServiceDeviations
                                └▶ hour notes ──▶ cells (hour of week) ──┘

`BaselineFold` is the whole operator: state in, state out. Cells are large and rarely change, so they are kept apart.
"""

from streams.baselines.config import BaselineConfig
from streams.baselines.fold import BaselineFold
from streams.baselines.state import BaselineState

__all__ = ["BaselineConfig", "BaselineFold", "BaselineState"]
