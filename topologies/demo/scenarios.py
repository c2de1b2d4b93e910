"""The scenarios that are recorded: which faults of the shop, when, how strong, at which place.

All have the same course, so that they are judged by the same rules::

    ── calm, the product learns ──┬── fault, three minutes ──┬── repaired ──
                                  └── a second one, for two at once
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploy.shop import faults
from deploy.shop.faults import BAD_CART, Fault, Release

CALM_S = 320.0
FAULT_S = 180.0
AFTER_S = 45.0
RATE_PER_S = 2.0


@dataclass(frozen=True, slots=True)
class Step:
    """A fault (or a harmless change) and when it is there, in seconds since the recording began."""

    fault: Fault
    begin_s: float = CALM_S
    lasts_s: float = FAULT_S
    repaired: bool = True
    """Whether it is taken back at its end; a good release stays."""

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.begin_s + self.lasts_s


@dataclass(frozen=True, slots=True)
class Scenario:
    """One recording to be made."""

    name: str
    steps: tuple[Step, ...]
    seed: int
    rate_per_s: float = RATE_PER_S
    """User journeys a second."""
    after_s: float = AFTER_S

    @property
    def length_s(self) -> float:
        """How long the recording is."""
        return max(step.end_s for step in self.steps) + self.after_s

    @property
    def calm_s(self) -> float:
        """How long nothing is done to the shop."""
        return min(step.begin_s for step in self.steps)


def _one(name: str, seed: int, fault: Fault, **step: float) -> Scenario:
    return Scenario(name, (Step(fault, **step),), seed)  # type: ignore[arg-type]


def _two(name: str, seed: int, first: Fault, second: Fault, later_s: float = 5.0) -> Scenario:
    """Two faults at once, the second a moment after the first."""
    return Scenario(name, (Step(first), Step(second, CALM_S + later_s, FAULT_S - later_s)), seed)


def _quiet(name: str, seed: int, change: Fault, *, stays: bool) -> Scenario:
    return Scenario(name, (Step(change, repaired=not stays),), seed)


_CATALOG, _SHIPPING = Release("catalog", "3.2.0"), Release("shipping", "1.2.0")
_PRICING, _PAYMENTS = Release("pricing", "1.10.0"), Release("payments", "5.1.0")

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _one("delay-payments", 101, faults.delay()),
        _one("delay-recommendations", 102, faults.delay("storefront", "recommendations", 0.2)),
        _one("delay-pricing", 103, faults.delay("cart", "pricing", 0.25)),
        _one("errors-shipping", 111, faults.errors("shipping", 0.4)),
        _one("errors-recommendations", 112, faults.errors("recommendations", 0.25)),
        _one("cpu-pricing", 121, faults.cpu()),
        _one("cpu-catalog", 122, faults.cpu("catalog")),
        _one("memory-recommendations", 131, faults.memory()),
        _one("dead-instance-catalog", 141, faults.dead_instance()),
        _one("bad-deploy-cart", 151, faults.bad_release(BAD_CART)),
        _one("bad-deploy-among-cart", 152, faults.bad_release(BAD_CART, _CATALOG, _SHIPPING)),
        _one(
            "bad-deploy-among-shipping", 153, faults.bad_release(replace(_SHIPPING, fail_share=0.5), _CATALOG, _PRICING)
        ),
        _one(
            "bad-deploy-among-pricing", 154, faults.bad_release(replace(_PRICING, extra_s=0.12), _SHIPPING, _PAYMENTS)
        ),
        _one("bad-deploy-among-payments", 155, faults.bad_release(replace(_PAYMENTS, extra_s=0.3), _CATALOG, _PRICING)),
        _one("traffic-stop", 161, faults.stop()),
        _one("traffic-spike", 162, faults.spike(4.0), lasts_s=100.0),
        _one("slow-query-product", 171, faults.slow_query("product")),
        _one("slow-query-all", 172, faults.slow_query("product", "cart_item", "purchase")),
        _one("timeout-cards", 181, faults.dependency_timeout()),
        _one("timeout-cards-some", 182, faults.dependency_timeout(0.4)),
        _one("trickle-cart", 191, faults.trickle("cart", 0.02), lasts_s=420.0),
        _two("two-delay-and-errors", 201, faults.delay(), faults.errors("recommendations", 0.4)),
        _two("two-cpu-and-timeout", 202, faults.cpu("recommendations"), faults.dependency_timeout(), later_s=40.0),
        _quiet(
            "quiet-deploys", 301, faults.harmless_release(_CATALOG, _SHIPPING, Release("cart", "1.4.3")), stays=True
        ),
        _quiet("quiet-busier", 302, faults.busier(1.4), stays=False),
    )
}
