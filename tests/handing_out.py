"""Which tests share a process, and when each group may begin, where several processes share the suite (``-n 3``).

::

    process 1 │ timed: the demo │ ...the next group that waits...
    process 2 │ computing ─────────────── │ ...and the next...
    process 3 │ computing from recordings ───│ ...

What is timed has the machine for itself but for what computes, which gives way. All others wait until it is done.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

TIMED = "timed"
COMPUTING = "computing"

ONLY_TIMED = "test_demo."
"""A file whose first test judges how long things take on this machine."""
WITH_SERVICES = ("e2e", "faults", "integration")
ONLY_COMPUTING = ("test_recorded_", "differential")
"""Files and folders among them that need a processor for a minute or more, and hardly anything else."""
LONG = (
    "faults",
    "integration/shop",
    "integration/stores",
    "integration/test_exactly_once.py",
    "integration/test_dead_letter_replay.py",
    "integration/test_pinning.py",
    "integration/test_worker_kill.py",
)
"""Groups of services that take a minute or more."""


def group_of(nodeid: str) -> str:
    """Return which tests share a process with this one.

    End-to-end and fault tests are a group each, in ``integration`` each folder and each file. All others compute, in
    two groups: those that read recordings take about as long as the rest.
    """
    _, folder, name, *_ = [*nodeid.partition("::")[0].split("/"), "", ""]
    if folder not in WITH_SERVICES:
        return COMPUTING
    if name.startswith(ONLY_COMPUTING):
        return f"{COMPUTING} from recordings"
    if name.startswith(ONLY_TIMED):
        return TIMED
    return f"{folder}/{name}" if folder == "integration" else folder


def waits(group: str) -> bool:
    """Say whether a group of tests begins only when what is timed is done."""
    return not group.startswith((TIMED, COMPUTING))


def turn_of(group: str) -> int:
    """Return when a group begins, the lowest first: no process is left alone with a long one at the end."""
    return 0 if not waits(group) else 1 if group in LONG else 2


class Groups(LoadScopeScheduling):
    """Hands out the tests of a group together, in the order in which groups come in the suite."""

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Note it, and give work to those that had to wait for it."""
        super().mark_test_complete(node, item_index, duration)
        for each in self.nodes:
            self._reschedule(each)

    def _reschedule(self, node: Any) -> None:
        following = next(iter(self.workqueue), COMPUTING)
        if not (waits(following) and self._is_timing()):
            super()._reschedule(node)

    def _is_timing(self) -> bool:
        """Say whether more than the last of the timed tests is to come: xdist begins a last one when more is queued."""
        return any(list(work.get(TIMED, {}).values()).count(False) > 1 for work in self.assigned_work.values())

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
