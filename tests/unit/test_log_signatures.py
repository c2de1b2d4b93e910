"""From log records to signatures of a pane: decoded, counted, bounded, and a sample kept."""

from __future__ import annotations

import json

from made_logs import INFO, WARN, MadeLog, logs_payload
from made_spans import START_NS

from schemas.losses import LossReason
from streams.contents import OVERFLOW_SHAPE, PaneContents
from streams.otlp import decode_logs
from streams.otlp.lines import MAX_LINES
from streams.panes import PaneFold
from streams.progress import SourceClock
from streams.windows import SECOND_NS, WindowConfig

STACK = 'Traceback (most recent call last):\n  File "/app/cart.py", line 3, in total\n    x\nKeyError: 1'


def shapes(*records: MadeLog) -> list[tuple[str, str]]:
    """Return kind and shape of the lines of a message."""
    return [(line.kind, line.shape) for line in decode_logs(logs_payload(records)).signed.lines]


def log(body: str, *, severity: int = WARN, at_s: float = 0.0, trace: int = 0, **attributes: str) -> MadeLog:
    """Return a record of service pay."""
    named = {key.replace("_", "."): text for key, text in attributes.items()}
    return MadeLog("pay", START_NS + round(at_s * SECOND_NS), body, severity, trace, named)


def folded(*messages: list[MadeLog], config: WindowConfig | None = None) -> tuple[PaneContents, PaneFold]:
    """Return what the first pane of service pay holds of these messages."""
    fold, clock = PaneFold("otel.logs/0", config or WindowConfig()), SourceClock("otel.logs/0")
    for offset, records in enumerate(messages):
        fold.step_logs("acme", decode_logs(logs_payload(records)), START_NS + 10 * SECOND_NS, offset)
        clock.observe(START_NS + 10 * SECOND_NS)
    partials = [one for one in fold.flush() if one.pane_start_ns == START_NS]
    return partials[0].contents, fold


def test_only_records_that_complain_have_a_line() -> None:
    """The rest is counted by severity, and that it has none is counted too."""
    records = [log("a 1"), log("b 2", severity=INFO)]
    assert shapes(*records) == [("log", "a <n>")]
    contents, fold = folded(records)
    assert contents.log_severities == {"warn": 1, "info": 1}
    assert [(loss.reason, loss.count) for loss in fold.drain_losses()] == [(LossReason.UNTEMPLATED, 1)]


def test_an_exception_is_known_by_type_and_frames() -> None:
    """From the attributes of the semantic conventions, or from a stack trace in the body."""
    expected = [("exception", "KeyError < cart.py:total")]
    assert shapes(log("boom 7", exception_type="KeyError", exception_stacktrace=STACK)) == expected
    assert shapes(log("boom 7", exception_stacktrace=STACK)) == expected
    assert shapes(log("boom 7\n" + STACK)) == expected


def test_the_message_in_a_document_is_the_line() -> None:
    """Many write JSON as text."""
    assert shapes(log(json.dumps({"ts": 1, "message": "paid 7", "level": "warn"}))) == [("log", "paid <n>")]
    assert shapes(log('{"b": 1, "a": 2}')) == [("log", "a= b=")]
    assert shapes(log("{not json 7")) == [("log", "{not json <n>")]


def test_lines_are_counted_by_shape_with_the_first_as_sample() -> None:
    """First by time, whatever the order in which they come; with its trace."""
    late, early = log("paid 7\x07", at_s=4, trace=9), log("paid 8", at_s=2, trace=5)
    for messages in ([[late, early]], [[late], [early]], [[early], [late]]):
        contents, _ = folded(*messages)
        tally = contents.signatures["log", "paid <n>"]
        assert (tally.count, tally.severity) == (2, 4)
        assert tally.sample == (early.time_ns, "paid 8", (5).to_bytes(16, "big"))


def test_too_many_signatures_go_to_the_overflow() -> None:
    """Those that came first stay; the lines of the others are counted together."""
    words = ["one", "two", "three", "four"]
    contents, fold = folded([log(f"{word} failed") for word in words], config=WindowConfig(max_signatures=2))
    assert set(contents.signatures) == {("log", "one failed"), ("log", "two failed"), ("log", OVERFLOW_SHAPE)}
    assert contents.signatures["log", OVERFLOW_SHAPE].count == 2
    assert [(loss.reason, loss.count) for loss in fold.drain_losses()] == [(LossReason.SIGNATURE_OVERFLOW, 2)]


def test_a_message_has_its_share_of_lines() -> None:
    """So the cost of one message is bounded; the others are counted."""
    contents, fold = folded([log("again")] * (MAX_LINES + 3))
    assert contents.signatures["log", "again"].count == MAX_LINES
    assert contents.log_severities == {"warn": MAX_LINES + 3}
    assert [(loss.reason, loss.count) for loss in fold.drain_losses()] == [(LossReason.UNTEMPLATED, 3)]
