"""Where a worker dies on purpose (`schemas.failpoints` has the list).

`reached` costs a comparison while nothing is armed, and stands in the path of batches, never of single items.
"""

from __future__ import annotations

import os
import signal

import structlog

from schemas.failpoints import Failpoint, parse_failpoints

log = structlog.get_logger()

_armed: dict[Failpoint, int] = {}


def arm(text: str) -> None:
    """Arm what ``INCIDENTSCOPE_FAILPOINT`` says, in place of what was armed before; an empty text disarms."""
    _armed.clear()
    _armed.update(parse_failpoints(text))
    if _armed:
        log.warning("failpoints_armed", points={point.value: nth for point, nth in _armed.items()})


def reached(point: Failpoint) -> None:
    """Die by SIGKILL if ``point`` is armed and this is the visit it was armed for."""
    if point not in _armed:
        return
    _armed[point] -= 1
    if _armed[point] == 0:
        log.warning("failpoint_reached", point=point.value)
        os.kill(os.getpid(), signal.SIGKILL)
