"""When so much is refused that the worker asks whether it is broken: tenants are counted, not records."""

from __future__ import annotations

from streams.diversion import Diversion, DiversionFold, DiversionLimits

LIMITS = DiversionLimits(in_a_row=10, ratio=0.5, window=20)


def fed(fold: DiversionFold, tenant: str, outcomes: str) -> DiversionFold:
    """Step a tenant's records: ``x`` is refused, ``.`` is not."""
    for outcome in outcomes:
        fold.step(tenant, outcome == "x")
    return fold


def test_the_only_tenant_is_suspicious_by_itself() -> None:
    """Ten in a row are the limit; nine and a good one are not."""
    assert fed(DiversionFold(LIMITS), "acme", "x" * 9 + ".").verdict() is None
    assert fed(DiversionFold(LIMITS), "acme", "x" * 10).verdict() == Diversion(("acme",), 1)


def test_one_hostile_tenant_beside_another_is_not_even_suspicious() -> None:
    """However much it sends, while somebody else is heard."""
    fold = fed(fed(DiversionFold(LIMITS), "evil", "x" * 100_000), "acme", ".")
    assert fold.verdict() is None


def test_a_broken_decoder_shows_with_many_tenants() -> None:
    """More than half of the tenants heard lately divert."""
    fold = DiversionFold(LIMITS)
    for tenant in ("a", "b", "c"):
        fed(fold, tenant, "." * 3 + "x" * 10)
    assert fold.verdict() == Diversion(("a", "b", "c"), 3)


def test_half_of_the_tenants_are_not_enough() -> None:
    """Two of four may be two bad senders."""
    fold = DiversionFold(LIMITS)
    for tenant, outcomes in (("a", "x" * 10), ("b", "x" * 10), ("c", "."), ("d", ".")):
        fed(fold, tenant, outcomes)
    assert fold.verdict() is None


def test_share_of_the_last_records_is_a_limit_of_its_own() -> None:
    """Never ten in a row, but three of four."""
    assert fed(DiversionFold(LIMITS), "acme", "xxx." * 10).verdict() is not None
    assert fed(DiversionFold(LIMITS), "acme", "x..." * 10).verdict() is None
    assert fed(DiversionFold(LIMITS), "acme", "xxx." * 4).verdict() is None, "too few records for a share"


def test_what_is_long_ago_does_not_count() -> None:
    """The share is that of the last one to two windows."""
    assert fed(DiversionFold(LIMITS), "acme", "xx." * 20 + "." * 60).verdict() is None


def test_limits_can_be_switched_off() -> None:
    """Nought is no limit."""
    off = DiversionLimits(in_a_row=0, ratio=0.0, window=20)
    assert fed(DiversionFold(off), "acme", "x" * 1_000).verdict() is None
