"""Which instance of a service is slower than its siblings of the same pane, or fails more, against all habit.

    ServiceHealth.instances ──▶ slow and failed requests by instance ──▶ evidence over panes ──▶ series by instance

`SiblingFold` is the whole operator: state in, state out (docs/adr/0041, 0044).
"""

from streams.siblings.config import SiblingConfig
from streams.siblings.fold import SiblingFold
from streams.siblings.state import SiblingMemory

__all__ = ["SiblingConfig", "SiblingFold", "SiblingMemory"]
