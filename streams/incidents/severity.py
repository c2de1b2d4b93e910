"""How severe an incident is, and why: by who is hit, whose budget burns, and how much its services matter.

::

    requests ──┐                                        critical tier: one more
    people ────┼─ the gravest ──▶ by impact ──▶ tier ──▶ severity, with the terms and a sentence
    work ──────┤                                        all of low tier: medium at most
    burn ──────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.health import Tier
from schemas.incidents import Severity, SeverityTerm
from schemas.shares import share_in_words
from streams.slo import PAGING_BURN

_MOST_OF_WORK = Severity.MEDIUM
_MOST_OF_LOW_TIER = Severity.MEDIUM
_SHARES = ((0.5, Severity.CRITICAL), (0.2, Severity.HIGH), (0.05, Severity.MEDIUM))


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of an incident's impact. Shares are 0 to 1, ``burn`` is how many times too fast a budget burns."""

    share: float = 0.0
    work_share: float = 0.0
    users_share: float = 0.0
    burn: float = 0.0
    burning: str = ""
    """Whose budget that is."""
    tiers: Mapping[str, Tier | None] = field(default_factory=dict)
    """Of the services of the incident; None where a service does not say."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A severity, what each term calls for, and the sentence that says why."""

    severity: Severity = Severity.LOW
    terms: tuple[SeverityTerm, ...] = ()
    reason: str = ""


def verdict_of(reading: Reading) -> Verdict:
    """Decide. What hits most people, requests or budgets counts; of equal terms the first decides."""
    terms = [_requests(reading.share)]
    if reading.users_share:
        terms.append(_users(reading.users_share, terms[0].severity))
    if reading.work_share:
        terms.append(_work(reading.work_share))
    if reading.burn:
        terms.append(_burn(reading.burn, reading.burning))
    gravest = max(terms, key=lambda term: term.severity.rank)
    tier = _tier(gravest.severity, reading.tiers)
    if tier is None:
        return Verdict(gravest.severity, tuple(terms), gravest.why)
    return Verdict(tier.severity, (*terms, tier), f"{gravest.why}; {tier.why}")


def severity_of(share: float) -> Severity:
    """Return the severity for a share of entry requests that is hit."""
    return next((severity for least, severity in _SHARES if share >= least), Severity.LOW)


def severity_of_burn(burn: float) -> Severity:
    """Return the severity for a budget that burns so many times too fast: a page is high, a ticket is medium."""
    if burn >= PAGING_BURN:
        return Severity.HIGH
    return Severity.MEDIUM if burn >= 1.0 else Severity.LOW


def _requests(share: float) -> SeverityTerm:
    why = f"{_percent(share)} of the entry requests are hit"
    return SeverityTerm(term="requests", value=round(share, 4), severity=severity_of(share), why=why)


def _users(share: float, by_requests: Severity) -> SeverityTerm:
    """Who is hit once in a minute is not cut off: users call for one step more than requests do, at most."""
    severity = _lower(severity_of(share), _next(by_requests))
    why = f"{_percent(share)} of the users of a minute are hit"
    return SeverityTerm(term="users", value=round(share, 4), severity=severity, why=why)


def _work(share: float) -> SeverityTerm:
    severity = _lower(severity_of(share), _MOST_OF_WORK)
    why = f"{_percent(share)} of work that no user waits for is hit"
    return SeverityTerm(term="work", value=round(share, 4), severity=severity, why=why)


def _burn(burn: float, service: str) -> SeverityTerm:
    why = f"the error budget of {service} burns {burn:.3g} times too fast"
    return SeverityTerm(term="burn", value=round(burn, 2), severity=severity_of_burn(burn), why=why)


def _tier(by_impact: Severity, tiers: Mapping[str, Tier | None]) -> SeverityTerm | None:
    """Return what tiers change: None where they change nothing."""
    critical = sorted(name for name, tier in tiers.items() if tier is Tier.CRITICAL)
    if critical:
        severity, why = _next(by_impact), f"one step more, as {critical[0]} is of critical tier"
    elif tiers and all(tier is Tier.LOW for tier in tiers.values()):
        severity, why = _lower(by_impact, _MOST_OF_LOW_TIER), "no more than medium, as its services are of low tier"
    else:
        return None
    return None if severity is by_impact else SeverityTerm(term="tier", value=None, severity=severity, why=why)


def _next(severity: Severity) -> Severity:
    return list(Severity)[min(severity.rank + 1, Severity.CRITICAL.rank)]


def _lower(one: Severity, other: Severity) -> Severity:
    return min(one, other, key=lambda each: each.rank)


def _percent(share: float) -> str:
    return share_in_words(share) if share >= 0.1 else f"{100 * share:.2g} %"
