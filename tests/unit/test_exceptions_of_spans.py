"""Exceptions that spans tell of in their events: signatures like those of log records, and counted once with them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from made_logs import ERROR, MadeLog, logs_payload
from made_spans import SERVER, START_NS, MadeSpan, traces_payload

from schemas.losses import LossReason
from streams.contents import PaneContents, merge_contents
from streams.otlp import decode_logs, decode_spans
from streams.otlp.lines import MAX_LINES
from streams.panes import PaneFold
from streams.signatures.counts import signature_counts
from streams.signatures.marks import MAX_MARKS, Marks, told_twice
from streams.signatures.templates import TemplateTree
from streams.windows import SECOND_NS, WindowConfig

STACK = 'Traceback (most recent call last):\n  File "/app/cart.py", line 3, in total\n    x\nKeyError: 1'
THROWN = ("KeyError", "'7'", STACK)
KEY = ("exception", "KeyError < cart.py:total")


def span(number: int = 1, *, error: bool = True, at_s: float = 1.0, exceptions: int = 1) -> MadeSpan:
    """Return a span of service pay that threw."""
    end_ns = START_NS + round(at_s * SECOND_NS)
    thrown = (THROWN,) * exceptions
    return MadeSpan("pay", "GET /", SERVER, number, number, 0, START_NS, end_ns, error=error, exceptions=thrown)


def record(number: int) -> MadeLog:
    """Return the log record in which the same span tells of the same exception."""
    named = {"exception.type": THROWN[0], "exception.stacktrace": STACK}
    return MadeLog("pay", START_NS + SECOND_NS, "boom", ERROR, number, named, span=number)


def of_spans(*spans: MadeSpan, config: WindowConfig | None = None) -> tuple[PaneContents, PaneFold]:
    """Return what the first pane of service pay holds of these spans."""
    fold = PaneFold("otel.traces/0", config or WindowConfig())
    fold.step_spans("acme", decode_spans(traces_payload(spans)), START_NS + 10 * SECOND_NS, 0)
    return next(one.contents for one in fold.flush() if one.pane_start_ns == START_NS), fold


def of_logs(*records: MadeLog) -> PaneContents:
    """Return what the first pane of service pay holds of these log records."""
    fold = PaneFold("otel.logs/0", WindowConfig())
    fold.step_logs("acme", decode_logs(logs_payload(records)), START_NS + 10 * SECOND_NS, 0)
    return fold.flush()[0].contents


def test_an_exception_of_a_span_is_a_signature_of_the_pane_its_span_ends_in() -> None:
    """With type and frames, the message as its sample, the trace to look at, and as grave as its span."""
    contents, _ = of_spans(span(5), span(6, error=False, at_s=0.5), span(7, at_s=11))
    (tally,) = [contents.signatures[KEY]]
    assert (tally.count, tally.severity) == (2, 5)
    assert tally.sample == (START_NS + SECOND_NS // 2, "KeyError: '7'", (6).to_bytes(16, "big"))
    assert contents.log_severities == {}
    handled, _ = of_spans(span(6, error=False))
    assert handled.signatures[KEY].severity == 4


def test_what_a_span_also_logs_is_counted_once() -> None:
    """By trace, span and type, whichever source is merged first; what only one of both tells is added."""
    spans, _ = of_spans(*(span(number) for number in range(1, 6)))
    logs = of_logs(*(record(number) for number in range(4, 9)))
    for parts in ((spans, logs), (logs, spans)):
        contents = merge_contents(parts)
        assert contents.signatures[KEY].lines == 8
        (seen,) = signature_counts(contents.signatures, contents.signatures, TemplateTree(), START_NS)
        assert (seen.kind, seen.pane, seen.window) == ("exception", 8, 8)


def test_a_type_of_python_is_the_same_with_its_module_and_without() -> None:
    """Spans name the module, the log handler does not; the sample keeps it, other languages too."""
    spans, _ = of_spans(replace(span(1), exceptions=(("httpx.ReadError", "gone", STACK),)))
    named = {"exception.type": "ReadError", "exception.stacktrace": STACK}
    contents = merge_contents([spans, of_logs(*(replace(record(number), attributes=named) for number in (1, 2)))])
    ((key, tally),) = contents.signatures.items()
    assert (key, tally.lines) == (("exception", "ReadError < cart.py:total"), 2)
    assert spans.signatures[key].sample is not None
    assert spans.signatures[key].sample[1] == "httpx.ReadError: gone"
    java = "java.net.Gone: x\n\tat org.acme.Cart.total(Cart.java:42)"
    other, _ = of_spans(replace(span(1), exceptions=(("java.net.Gone", "x", java),)))
    assert list(other.signatures) == [("exception", "java.net.Gone < org.acme.Cart.total")]


def test_log_records_of_no_known_span_are_all_counted() -> None:
    """Nobody can tell whether they are the same."""
    spans, _ = of_spans(span(1))
    contents = merge_contents([spans, of_logs(replace(record(1), span=0), replace(record(1), trace=0))])
    assert contents.signatures[KEY].lines == 3


@pytest.mark.parametrize("both", [0, 700, 1000])
def test_of_many_exceptions_the_number_told_twice_is_estimated(both: int) -> None:
    """Exactly where all or none of them are; else within the error of a sample of so many."""
    chance = random.Random(8)
    marks = [chance.getrandbits(64) for _ in range(2000 - both)]
    found = told_twice(Marks.of(marks[:1000]), Marks.of(marks[1000 - both :]))
    assert abs(found - both) <= (0 if both in (0, 1000) else 2 * 1000 / MAX_MARKS**0.5)


def test_exceptions_beyond_the_share_of_a_message_are_counted_as_unread() -> None:
    """So the cost of one message is bounded."""
    contents, fold = of_spans(span(1, exceptions=MAX_LINES + 3))
    assert contents.signatures[KEY].count == MAX_LINES
    assert [(loss.reason, loss.count) for loss in fold.drain_losses()] == [(LossReason.UNTEMPLATED, 3)]
