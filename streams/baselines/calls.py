"""Operations that are not called any more while their service is: requests by operation against their share of all.

The share is that of the trailing panes, so a service that gets fewer requests says nothing of any operation. Calls come
in bursts, in sessions and from jobs, so chance is not that of single requests: what is missing counts the less the more
the share wanders (overdispersion), and only beyond three times what was missing at most while nothing was wrong. Nor
does it count when others have taken it over: an operation that is called otherwise has not stopped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.baselines.config import BaselineConfig

Counts = NDArray[np.float64]
STOPPED = 0.1
"""An operation that gets less than this part of its requests has stopped."""
_LONGEST_SILENCES = 3.0
_WANDERS = 0.5
_SPELL_PANES = 10
_TAKEN = 0.5
_CLEARLY = 3.0
"""Standard deviations (Poisson) by which others must have more to have taken it over."""


class Past(NamedTuple):
    """Panes before an episode: calls of one operation and requests of its service, oldest first."""

    calls: Counts
    requests: Counts


class Usual(NamedTuple):
    """What is usual of an operation: its share of the requests, surely, and what a missing one is worth."""

    share: float
    worth: float


class Since(NamedTuple):
    """Requests since the missing ones began, the judged pane among them: of the service, and by operation."""

    requests: float
    calls: Counts
    shares: Counts
    """Usual ones by operation; 0 of an unknown one."""


def usual_of(past: Past, config: BaselineConfig) -> Usual | None:
    """Return what is usual of an operation; None of one that is not known well enough to stop."""
    total, requests = float(past.calls.sum()), float(past.requests.sum())
    if len(past.calls) < config.calls_known_panes or total < config.calls_known:
        return None
    expected = past.requests * (total / requests)
    scatter = max(_scatter(past.calls, expected), _scatter(_by_spell(past.calls), _by_spell(expected)) / 2.0)
    called = np.flatnonzero(past.calls)
    until = np.cumsum(expected)
    longest = float((np.append(until[called] - expected[called], until[-1]) - np.append(0.0, until[called])).max())
    worth = min(1.0 / max(scatter, 1.0), config.alarm / max(_LONGEST_SILENCES * longest, 1e-9))
    return Usual(total / requests * (1.0 - 1.0 / math.sqrt(total)), min(worth, 1.0))


def _by_spell(counts: Counts) -> Counts:
    """Return the sums of spells of panes: what wanders slowly is seen there."""
    spells = len(counts) // _SPELL_PANES
    return np.asarray(counts[len(counts) - spells * _SPELL_PANES :].reshape(spells, _SPELL_PANES).sum(axis=1))


def _scatter(counts: Counts, expected: Counts) -> float:
    """Return how many times farther than chance counts are from what was to be expected: 1 of Poisson counts."""
    return float(((counts - expected) ** 2 / np.maximum(expected, 1e-9)).mean())


def missing_gain(calls: float, requests: float, usual: Usual, config: BaselineConfig) -> float:
    """Return what one pane argues for the operation having stopped: a log-likelihood ratio of Poisson counts.

    Half of what is usual is no stop yet: mixes wander.
    """
    least = _WANDERS * usual.share * requests
    gain = (calls * math.log(STOPPED) + (1.0 - STOPPED) * least) * usual.worth * config.operation_worth
    return max(min(gain, config.alarm / config.calls_least_panes), -config.pane_limit)


def taken_over(place: int, since: Since) -> bool:
    """Tell whether another operation, or those that are not followed together, got at least half of what one misses.

    All others grow in the same proportion when one is missing.
    """
    share = float(since.shares[place])
    grown = since.shares / max(1.0 - share, 1e-9)
    usual, calls = grown * since.requests, since.calls.copy()
    rest_usual = max(1.0 - float(since.shares.sum()), 0.0) / max(1.0 - share, 1e-9) * since.requests
    rest = max(since.requests - float(calls.sum()), 0.0)
    usual, calls = np.append(np.delete(usual, place), rest_usual), np.append(np.delete(calls, place), rest)
    more = calls - usual
    return bool(((more >= _TAKEN * share * since.requests) & (more >= _CLEARLY * np.sqrt(usual + 1.0))).any())


def score_of(calls: float, expected: float, worth: float) -> float:
    """Return by how many standard deviations there are fewer calls (variance-stabilised): negative for missing ones."""
    return 2.0 * (math.sqrt(calls) - math.sqrt(expected)) * math.sqrt(worth)
