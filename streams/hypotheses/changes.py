"""A change of the suspect shortly before the onset, and whether the service got worse with it.

Nearness alone proves little: of services released together one is bad. So a change counts by what the service's
own series say before and after it: own time, own failures, new error lines, each against its own past. Trouble that
began before the change is not the change's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from schemas.incidents import Deploy, ScorePart
from schemas.snapshots import RankingSnapshot
from streams.hypotheses.parts import Part

_BEFORE_S = 900.0
_DECAY_S = 300.0
_AFTER_S = 30.0
"""Onsets are a pane or two inexact, so a deploy may seem to come a little after."""
_ROLLOUT_S = 60.0
"""A change is often announced when it is complete: its first instance went live up to so long before."""
_UNPROVEN = 0.1
"""What nearness alone is worth when the service is as good as before."""
_OWN = ("self_time", "own_errors", "log_errors", "origin", "new_signature", "missing_calls")
"""The parts that a release can be the reason of; a slow connection to a service is another matter."""
_WORSE = 0.3


class Change(NamedTuple):
    """The nearest deploy of a suspect: how near it is (0 to 1), how much of that counts (0 to 1), and why."""

    deploy: Deploy
    before_s: float
    near: float
    counts: float
    verdict: str

    def part(self) -> Part:
        """Return the part of the score."""
        version = f" of {self.deploy.version}" if self.deploy.version else ""
        why = f"{self.deploy.kind}{version} {max(0.0, self.before_s):.0f} s before the onset: {self.verdict}"
        return Part("deploy", self.near * self.counts, why)


def change_of(
    service: str, snapshot: RankingSnapshot, parts: Iterable[ScorePart], since_ns: int | None
) -> Change | None:
    """Return the deploy of this service nearest before the onset, if there is one near enough.

    `parts` is what else speaks against the service, `since_ns` when its own series began to deviate.
    """
    own = sum(part.value for part in parts if part.name in _OWN)
    best: Change | None = None
    for deploy in snapshot.deploys:
        before_s = (snapshot.onset_ns - deploy.at_ns) / 1e9
        if deploy.service == service and -_AFTER_S <= before_s <= _BEFORE_S:
            near = math.exp(-max(0.0, before_s) / _DECAY_S)
            best = Change(deploy, before_s, near, *_judged(deploy, own, since_ns))
    return best


def _judged(deploy: Deploy, own: float, since_ns: int | None) -> tuple[float, str]:
    """Return how much a deploy counts, and in words why."""
    if own < _WORSE:
        return _UNPROVEN, "the service is as good as before it"
    if since_ns is not None and since_ns < deploy.at_ns - _ROLLOUT_S * 1e9:
        return 0.0, f"the service got worse {(deploy.at_ns - since_ns) / 1e9:.0f} s before it"
    return min(1.0, _UNPROVEN + own), "the service got worse after it"
