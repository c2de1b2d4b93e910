"""Notices of late items, and the queue of panes that wait to be measured again."""

from __future__ import annotations

from made_spans import SERVER, START_NS, MadeSpan, traces_payload

from streams.late import LateNotice, LateQueue
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.progress import Progress, ProgressClock
from streams.remeasuring import touched_panes
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
WAIT_NS = 30 * SECOND_NS


def span(service: str, end_s: float, number: int = 1) -> MadeSpan:
    """Return a span of 5 ms that ends then."""
    end_ns = START_NS + round(end_s * SECOND_NS)
    return MadeSpan(service, "op", SERVER, number, number, 0, end_ns - 5_000_000, end_ns)


def notice(pane_s: int, arrival_s: int, tenant: str = "acme", **services: int) -> LateNotice:
    """Return a notice of a tenant on the wall clock."""
    return LateNotice(tenant, START_NS + pane_s * SECOND_NS, START_NS + arrival_s * SECOND_NS, False, services)


def clock_at(seconds: int) -> ProgressClock:
    """Return a clock that has come so far."""
    clock = ProgressClock(["telemetry.rollups/0"])
    clock.step(Progress("telemetry.rollups/0", START_NS + seconds * SECOND_NS))
    return clock


def test_fold_tells_which_panes_late_items_belong_to() -> None:
    """By service, once, and nothing of what came in time or is out of range."""
    fold, arrival_ns = PaneFold("otel.traces/0", CONFIG), START_NS + 200 * SECOND_NS
    late = [span("cart", 3, 1), span("cart", 4, 2), span("pay", 5, 3), span("cart", 15, 4)]
    columns = decode_spans(traces_payload([*late, span("cart", 199, 5), span("cart", -90_000, 6)]))
    fold.step_spans("acme", columns, arrival_ns, 0)
    fold.flush()
    assert fold.drain_late() == [
        LateNotice("acme", START_NS, arrival_ns, False, {"cart": 2, "pay": 1}),
        LateNotice("acme", START_NS + 10 * SECOND_NS, arrival_ns, False, {"cart": 1}),
    ]
    assert fold.drain_late() == []


def test_notice_comes_back_as_it_went() -> None:
    """Through its record."""
    sent = notice(0, 100, cart=3)
    assert LateNotice.decode(sent.encode()) == sent


def test_pane_is_due_when_all_its_windows_are_final_and_late_items_had_time_to_come() -> None:
    """The last window ends 60 s after the pane's start and closes a minute later; then 30 s since the first item."""
    queue = LateQueue(CONFIG, WAIT_NS, 10)
    queue.step(notice(0, 75, cart=1), 7)
    assert queue.due(clock_at(119), 5) == []
    assert queue.due(clock_at(120), 5) == [notice(0, 75, cart=1)]
    queue.step(notice(10, 500, cart=1), 8)
    assert queue.due(clock_at(529), 5) == [notice(0, 75, cart=1)]
    assert len(queue.due(clock_at(530), 5)) == 2


def test_notices_of_a_pane_are_put_together_and_hold_the_first_offset() -> None:
    """Until the pane is done."""
    queue = LateQueue(CONFIG, WAIT_NS, 10)
    queue.step(notice(0, 75, cart=1), 7)
    queue.step(notice(0, 90, cart=2, pay=1), 9)
    (due,) = queue.due(clock_at(1_000), 5)
    assert (due.services, queue.lowest_needed_offset()) == ({"cart": 3, "pay": 1}, 7)
    queue.done([due])
    assert (len(queue), queue.lowest_needed_offset()) == (0, None)


def test_only_so_many_panes_wait_and_one_tenant_is_measured_at_a_time() -> None:
    """More notices of a pane that waits are taken; another pane is refused."""
    queue = LateQueue(CONFIG, WAIT_NS, 2)
    assert queue.step(notice(10, 75, cart=1), 1)
    assert queue.step(notice(0, 75, tenant="other", cart=1), 2)
    assert queue.step(notice(10, 76, cart=1), 3)
    assert not queue.step(notice(20, 75, cart=1), 4)
    assert {one.tenant for one in queue.due(clock_at(1_000), 5)} == {"acme"}


def test_touched_are_related_panes_within_reach_and_the_windows_they_are_in() -> None:
    """A trace's span two hours later is put together with nothing."""
    seconds = [at // SECOND_NS for at in touched_panes([0], [0, 20 * SECOND_NS, 7_200 * SECOND_NS], CONFIG)]
    assert seconds == list(range(0, 80, 10))
