"""Which instance of a service is slower than its siblings of the same pane, and is so against all habit.

    ServiceHealth.instances ──▶ slow requests by instance ──▶ evidence over panes ──▶ series by instance

`SiblingFold` is the whole operator: state in, state out (docs/adr/0041).
"""

from streams.siblings.config import SiblingConfig
from streams.siblings.fold import SiblingFold
from streams.siblings.state import SiblingMemory

__all__ = ["SiblingConfig", "SiblingFold", "SiblingMemory"]
