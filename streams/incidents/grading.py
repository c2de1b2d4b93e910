"""The severity that an incident has been given: it rises at once, and falls slowly.

What is called for changes from pane to pane; a severity that followed it both ways would be told again and again. So it
falls only when for ten minutes without a break less was called for, to the most that was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.incidents import Severity, SeverityTerm
from streams.incidents.severity import Verdict


@dataclass(slots=True)
class Grade:
    """The verdict that stands, the gravest there was, and what has been called for since it was last confirmed."""

    standing: Verdict = field(default_factory=Verdict)
    peak: Severity = Severity.LOW
    easing_since_ns: int = 0
    """When less began to be called for; 0: it is not."""
    eased: Verdict = field(default_factory=Verdict)
    """The gravest of what was called for since."""

    @property
    def severity(self) -> Severity:
        """As it is now."""
        return self.standing.severity

    @property
    def reason(self) -> str:
        """What decided it."""
        return self.standing.reason

    @property
    def terms(self) -> tuple[SeverityTerm, ...]:
        """What each thing that was known called for then."""
        return self.standing.terms

    def step(self, verdict: Verdict, pane_ns: int, fall_ns: int) -> bool:
        """Take what a pane calls for; tell whether the severity is another now."""
        before = self.severity
        if verdict.severity.rank >= before.rank:
            self._stand(verdict)
        elif not self.easing_since_ns:
            self.easing_since_ns, self.eased = pane_ns, verdict
        else:
            self.eased = max(verdict, self.eased, key=lambda one: one.severity.rank)
            if pane_ns - self.easing_since_ns >= fall_ns:
                self._stand(self.eased)
        return self.severity is not before

    def _stand(self, verdict: Verdict) -> None:
        self.standing, self.easing_since_ns, self.eased = verdict, 0, Verdict()
        self.peak = max(self.peak, verdict.severity, key=lambda one: one.rank)

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [self.severity, self.peak, self.easing_since_ns, _packed(self.standing), _packed(self.eased)]

    @staticmethod
    def unpacked(body: list[Any]) -> Grade:
        """Read `packed` back; of a severity alone, as was kept before there were reasons, that."""
        if len(body) == 1:
            severity = Severity(body[0])
            return Grade(Verdict(severity), severity)
        _, peak, easing_since_ns, standing, eased = body
        return Grade(_unpacked(standing), Severity(peak), easing_since_ns, _unpacked(eased))


def _packed(verdict: Verdict) -> list[Any]:
    return [verdict.severity, verdict.reason, [term.model_dump(mode="json") for term in verdict.terms]]


def _unpacked(body: list[Any]) -> Verdict:
    severity, reason, terms = body
    return Verdict(Severity(severity), tuple(SeverityTerm.model_validate(term) for term in terms), reason)
