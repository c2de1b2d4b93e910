"""The versions of a service at the same time: whether one of them is worse than its siblings, or no worse.

Two versions that take requests in the same minutes share callers, callees and load, so a difference between them is
their own. It is judged by Wilson's intervals (JASA 1927) at 95 %: worse is what fails, or is slow, at least more often
than the siblings do at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.deviations import VersionShare
from schemas.shares import share_in_words
from schemas.snapshots import PartCounts, VersionFinding
from streams.slo import wilson_lower

_Z = 1.96
_LEAST_REQUESTS = 10
"""Requests of a version, and of its siblings, without which they are not compared."""
_AS_BAD = 0.5
"""Siblings that have surely this share of its trouble are as bad."""
_LEAST_BAD = 0.05
"""Trouble of siblings below this is none."""
_WORDS = {"errors": "fail", "slow": "are slow"}


@dataclass(slots=True)
class Releases:
    """The versions of one node over the panes since the onset."""

    counts: dict[str, PartCounts] = field(default_factory=dict)

    def see(self, versions: Iterable[VersionShare]) -> None:
        """Take one pane."""
        for one in versions:
            known = self.counts.get(one.version, PartCounts())
            self.counts[one.version] = PartCounts(
                requests=known.requests + one.requests, errors=known.errors + one.errors, slow=known.slow + one.slow
            )

    def findings(self) -> list[VersionFinding]:
        """Return what was found of each version, by name; nothing of a single one."""
        if len(self.counts) < 2:
            return []
        return [VersionFinding(version=name, since=self.counts[name]) for name in sorted(self.counts)]


class Trial(NamedTuple):
    """A version beside its siblings."""

    excess: float
    """How much more often, at least, its requests fail or are slow (0 to 1); 0: its siblings are about as bad."""
    why: str


def trial_of(version: str, versions: Sequence[VersionFinding]) -> Trial | None:
    """Return how a version did beside its siblings since the onset; None where nothing can be said."""
    own = next((one.since for one in versions if one.version == version), None)
    siblings = [one.since for one in versions if one.version != version]
    if own is None or min(own.requests, sum(one.requests for one in siblings)) < _LEAST_REQUESTS:
        return None
    found = [_trial(own, siblings, what) for what in _WORDS]
    return max((one for one in found if one is not None), key=lambda one: one.excess, default=None)


def _trial(own: PartCounts, siblings: Sequence[PartCounts], what: str) -> Trial | None:
    beside = sum(one.requests for one in siblings)
    bad, bad_beside = getattr(own, what), sum(getattr(one, what) for one in siblings)
    share, share_beside = bad / own.requests, bad_beside / beside
    here, there = share_in_words(share), share_in_words(share_beside)
    why = f"{here} of its {own.requests} requests {_WORDS[what]}, {there} of its siblings'"
    excess = wilson_lower(bad, own.requests, _Z) + wilson_lower(beside - bad_beside, beside, _Z) - 1.0
    if excess > 0:
        return Trial(excess, why)
    is_as_bad = wilson_lower(bad_beside, beside, _Z) >= max(_AS_BAD * share, _LEAST_BAD)
    return Trial(0.0, why) if is_as_bad else None
