"""A change of the suspect shortly before the onset."""

from __future__ import annotations

import math
from typing import NamedTuple

from schemas.events import Deploy
from schemas.snapshots import RankingSnapshot
from streams.hypotheses.parts import Part

_BEFORE_S = 900.0
_DECAY_S = 300.0
_AFTER_S = 30.0
"""Onsets are a pane or two inexact, so a deploy may seem to come a little after."""
_UNPROVEN = 0.3
"""What nearness alone is worth when nothing else speaks against the service."""


class Change(NamedTuple):
    """The nearest deploy of a suspect: how near it is (0 to 1), and how much of that counts (0 to 1)."""

    deploy: Deploy
    before_s: float
    near: float
    counts: float

    def part(self) -> Part:
        """Return the part of the score."""
        version = f" of {self.deploy.version}" if self.deploy.version else ""
        why = f"{self.deploy.kind}{version} {max(0.0, self.before_s):.0f} s before the onset"
        return Part("deploy", self.near * self.counts, why)


def change_of(service: str, snapshot: RankingSnapshot, badness: float) -> Change | None:
    """Return the deploy of this service nearest before the onset, if there is one near enough."""
    best: Change | None = None
    for deploy in snapshot.deploys:
        before_s = (snapshot.onset_ns - deploy.at_ns) / 1e9
        if deploy.service == service and -_AFTER_S <= before_s <= _BEFORE_S:
            near = math.exp(-max(0.0, before_s) / _DECAY_S)
            best = Change(deploy, before_s, near, 1.0 if badness > 0 else _UNPROVEN)
    return best
