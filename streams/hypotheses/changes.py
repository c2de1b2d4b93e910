"""A change of the suspect shortly before the onset, and whether the service got worse with it.

Nearness alone proves little: of services released together one is bad. So a change counts by what the service's
own series say before and after it: own time, own failures, new error lines, each against its own past. While two
versions run side by side they are held against each other, too. Trouble that began before the change is not the
change's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas.incidents import Deploy, ScorePart
from schemas.snapshots import NodeFinding, RankingSnapshot
from streams.hypotheses.parts import Part
from streams.hypotheses.releases import Trial, trial_of

_BEFORE_S = 900.0
_DECAY_S = 300.0
_AFTER_S = 30.0
"""Onsets are a pane or two inexact, so a deploy may seem to come a little after."""
_ROLLOUT_S = 60.0
"""A change is often announced when it is complete: its first instance went live up to so long before."""
_SAME_S = 3600.0
"""A version that is announced and seen within so long is one change."""
_UNPROVEN = 0.1
"""What nearness alone is worth when the service is as good as before."""
_OWN = ("self_time", "own_errors", "log_errors", "origin", "new_signature", "missing_calls")
"""The parts that a release can be the reason of; a slow connection to a service is another matter."""
_WORSE = 0.3


class Change(NamedTuple):
    """A deploy of a suspect: how near it is (0 to 1), how much of that counts (0 to 1), and why."""

    deploy: Deploy
    before_s: float
    near: float
    counts: float
    verdict: str

    @property
    def is_accused(self) -> bool:
        """Whether more speaks against it than that it is near."""
        return self.counts > _UNPROVEN

    def part(self) -> Part:
        """Return the part of the score."""
        version = f" of {self.deploy.version}" if self.deploy.version else ""
        why = f"{self.deploy.kind}{version} {max(0.0, self.before_s):.0f} s before the onset: {self.verdict}"
        return Part("deploy", self.near * self.counts, why)


def change_of(
    node: NodeFinding, snapshot: RankingSnapshot, parts: Iterable[ScorePart], since_ns: int | None
) -> Change | None:
    """Return the deploy of this service that most speaks against, of those near enough; of equal ones the latest.

    `parts` is what else speaks against the service, `since_ns` when its own series began to deviate.
    """
    own = sum(part.value for part in parts if part.name in _OWN)
    best: Change | None = None
    for deploy in joined([one for one in snapshot.deploys if one.service == node.service]):
        before_s = (snapshot.onset_ns - deploy.at_ns) / 1e9
        if -_AFTER_S <= before_s <= _BEFORE_S:
            near = math.exp(-max(0.0, before_s) / _DECAY_S)
            trial = trial_of(deploy.version, node.versions)
            change = Change(deploy, before_s, near, *_judged(deploy, own, trial, since_ns))
            best = change if best is None else max(change, best, key=lambda one: one.near * one.counts)
    return best


def joined(deploys: Sequence[Deploy]) -> list[Deploy]:
    """Return the deploys of a service in the order of time, one for each that was announced and seen as well.

    It went live when its first requests were seen, whenever a job announced it.
    """
    seen = [one for one in deploys if one.source == "telemetry"]
    announced = [one for one in deploys if one.source != "telemetry"]
    for place, deploy in enumerate(announced):
        twin = _twin_of(deploy, seen)
        if twin is not None:
            seen.remove(twin)
            announced[place] = deploy.model_copy(update={"at_ns": twin.at_ns})
    return sorted([*announced, *seen], key=lambda one: (one.at_ns, one.deploy_id))


def _twin_of(deploy: Deploy, seen: Sequence[Deploy]) -> Deploy | None:
    """Return the nearest of those seen that is the same version; some write a v before it."""
    version = deploy.version.removeprefix("v")
    twins = [one for one in seen if version and one.version.removeprefix("v") == version]
    nearest = min(twins, key=lambda one: abs(one.at_ns - deploy.at_ns), default=None)
    return nearest if nearest is not None and abs(nearest.at_ns - deploy.at_ns) <= _SAME_S * 1e9 else None


def _judged(deploy: Deploy, own: float, trial: Trial | None, since_ns: int | None) -> tuple[float, str]:
    """Return how much a deploy counts, and in words why."""
    if since_ns is not None and since_ns < deploy.at_ns - _ROLLOUT_S * 1e9 and own >= _WORSE:
        return 0.0, f"the service got worse {(deploy.at_ns - since_ns) / 1e9:.0f} s before it"
    if trial is not None and trial.excess > 0:
        return 1.0 if own >= _WORSE else max(_UNPROVEN, trial.excess), trial.why
    if trial is not None:
        return _UNPROVEN, f"its siblings are as bad: {trial.why}"
    if own < _WORSE:
        return _UNPROVEN, "the service is as good as before it"
    return min(1.0, _UNPROVEN + own), "the service got worse after it"
