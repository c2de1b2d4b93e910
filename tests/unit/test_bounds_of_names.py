"""What a sender writes names what is kept of it: beyond a bound new names take no room, and what is known stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from made_spans import SERVER, START_NS, MadeSpan, traces_payload

from schemas.losses import LossReason
from schemas.metric_names import OTHER_TENANTS, TENANT_LABELS
from streams.diversion import MAX_TENANTS, DiversionFold, DiversionLimits
from streams.otlp import decode_spans
from streams.progress import MAX_DRIVEN, ProgressClock
from streams.registry import SHRINK_AT, Registry
from streams.stubs import StubFold
from streams.windows import WindowConfig
from topologies import metrics


@pytest.fixture
def fresh_labels() -> Iterator[None]:
    """Let no tenant and no service have a label yet; afterwards it is as it was."""
    held = (metrics._labelled_tenants, metrics._labelled_services)
    before = [set(labels) for labels in held]
    for labels in held:
        labels.clear()
    yield
    metrics._labelled_tenants.clear()
    metrics._labelled_services.clear()
    metrics._labelled_tenants.update(before[0])
    metrics._labelled_services.update(before[1])


@pytest.mark.usefixtures("fresh_labels")
def test_tenants_beyond_the_bound_share_one_label() -> None:
    """Also after a service of each was labelled; who was there first keeps its own."""
    known = {metrics.tenant_label(f"tenant-{number}") for number in range(2 * TENANT_LABELS)}
    assert len(known) <= TENANT_LABELS + 1
    assert OTHER_TENANTS in known
    first = next(iter(known - {OTHER_TENANTS}))
    assert metrics.tenant_label(first) == first


@pytest.mark.usefixtures("fresh_labels")
def test_services_beyond_the_bound_share_one_label() -> None:
    """Of whatever tenants."""
    labels = {metrics.service_labels("acme", f"service-{number}") for number in range(2 * TENANT_LABELS)}
    assert len(labels) <= TENANT_LABELS + 1
    assert metrics.service_labels("acme", "service-new")[1] == OTHER_TENANTS


def test_no_more_tenants_are_on_a_clock_of_their_own_than_there_is_room_for() -> None:
    """Whoever comes later is on the wall clock."""
    clock = ProgressClock(["source"])
    for number in range(5 * MAX_DRIVEN):
        clock.mark_driven(f"tenant-{number}")
    assert sum(clock.is_driven(f"tenant-{number}") for number in range(5 * MAX_DRIVEN)) == 4 * MAX_DRIVEN


def test_stubs_of_tenants_beyond_the_bound_are_a_loss_by_name() -> None:
    """Until the next flush makes room."""
    fold = StubFold("otel.traces/0", 1, WindowConfig(max_tenants=2))
    span = decode_spans(traces_payload([MadeSpan("cart", "GET /", SERVER, 7, 1, 0, START_NS, START_NS + 5)]))
    for offset, tenant in enumerate(("a", "b", "c", "a")):
        fold.step(tenant, span, START_NS, offset)
    (loss,) = fold.drain_losses()
    assert (loss.tenant, loss.reason) == ("c", LossReason.TENANT_OVERFLOW)
    assert len(fold.flush()) == 2


def test_of_tenants_beyond_the_bound_no_diversion_is_judged() -> None:
    """However much of theirs is refused."""
    fold = DiversionFold(DiversionLimits(in_a_row=1, window=10 * MAX_TENANTS))
    for number in range(MAX_TENANTS):
        fold.step(f"tenant-{number}", False)
    for number in range(2 * MAX_TENANTS):
        fold.step(f"late-{number}", True)
    assert fold.verdict() is None


def test_names_that_no_span_has_any_more_are_forgotten() -> None:
    """Once there are many of them."""
    registry = Registry()
    for number in range(SHRINK_AT):
        registry.texts.id_of(f"GET /{number}")
    registry.shrink([])
    assert registry.texts.names == []
