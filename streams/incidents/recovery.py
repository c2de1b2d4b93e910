"""Whether enough good requests have come to believe that what failed now and then does no more.

A fault that fails one request in twenty is silent for half a minute again and again. So an incident is not over when
nothing deviates, but when the requests that went well since refute the failures that it had: Wald's sequential test
(Ann. Math. Stat. 16, 1945) of the usual share of failures against the incident's own, begun anew with each failure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_BELIEF = math.log(1000.0)
"""The good requests must be a thousand times likelier without the fault than with it."""
_LEAST_RISE = 2.0
_LEAST_ERRORS = 3
_LEAST_SHARE, _MOST_SHARE = 1e-4, 0.98


@dataclass(slots=True)
class Failures:
    """Of one service: requests and failures while the incident was on, and those since nothing deviates."""

    requests: int = 0
    errors: int = 0
    calm_requests: int = 0
    calm_errors: int = 0
    speaks_for_health: float = 0.0
    """Log-likelihood ratio of what came since the last failure."""

    def step(self, requests: int, errors: int, usual: float, *, calm: bool) -> None:
        """Take a pane. ``usual`` is the usual share of failures; what was calm and is no more was the same fault."""
        if calm:
            self.calm_requests, self.calm_errors = self.calm_requests + requests, self.calm_errors + errors
            self.speaks_for_health = max(0.0, self.speaks_for_health + self._gain(requests, errors, usual))
            return
        self.requests += requests + self.calm_requests
        self.errors += errors + self.calm_errors
        self.calm_requests = self.calm_errors = 0
        self.speaks_for_health = 0.0

    def is_refuted(self, usual: float) -> bool:
        """Tell whether the service is believed to be well; so is one that has hardly failed more than it does."""
        few = self.errors < _LEAST_ERRORS or self.share < _LEAST_RISE * _clipped(usual)
        return few or self.speaks_for_health >= _BELIEF

    @property
    def share(self) -> float:
        """Share of the requests that failed while the incident was on."""
        return self.errors / self.requests if self.requests else 0.0

    def _gain(self, requests: int, errors: int, usual: float) -> float:
        bad, well = _clipped(self.share), _clipped(usual)
        return (requests - errors) * math.log((1 - well) / (1 - bad)) - errors * math.log(bad / well)

    def packed(self) -> list[float]:
        """As kept in the state."""
        return [self.requests, self.errors, self.calm_requests, self.calm_errors, self.speaks_for_health]

    @staticmethod
    def unpacked(body: list[float]) -> Failures:
        """Read `packed` back; nothing is a service of which nothing was counted."""
        if not body:
            return Failures()
        requests, errors, calm_requests, calm_errors, speaks = body
        return Failures(int(requests), int(errors), int(calm_requests), int(calm_errors), speaks)


def _clipped(share: float) -> float:
    return min(max(share, _LEAST_SHARE), _MOST_SHARE)
