"""What is normal for a service, and how far a pane is from it.

    ServiceHealth ──▶ measures ──▶ history (trailing median / MAD) ──▶ evidence over panes ──▶ ServiceDeviations

`BaselineFold` is the whole operator: bytes of state in, bytes of state out.
"""

from streams.baselines.config import BaselineConfig
from streams.baselines.fold import BaselineFold
from streams.baselines.state import BaselineState

__all__ = ["BaselineConfig", "BaselineFold", "BaselineState"]
