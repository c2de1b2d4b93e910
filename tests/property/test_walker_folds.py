"""Folds fed by the compiled decoder, in batches, against folds fed message by message by the reference decoder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_spans import Arrival, MadeSpan, records_of, telemetry, traces_payload
from mutating import mutations

from schemas.errors import BadPayload
from schemas.losses import LossReason
from streams.batch import Messages
from streams.otlp import SpanColumns, decode_spans
from streams.otlp.walker import SpanDecoder
from streams.panes import PaneFold
from streams.progress import SourceClock
from streams.stub_blocks import StubBlock
from streams.stubs import StubFold, decode_stubs
from streams.windows import SECOND_NS, WindowConfig

SOURCE = "otel.traces/0"
CONFIG = WindowConfig()
DECODER = SpanDecoder()
"""One for all examples, as a worker has one for all batches: it remembers names."""

NAMES = ("GET /users/42", "GET /users/{id}", "op0", "op\ufffd", "x" * 300, "x" * 256, "", "SELECT 'a' FROM t", "größe")


@dataclass
class Folds:
    """The folds of one source."""

    panes: PaneFold = field(default_factory=lambda: PaneFold(SOURCE, CONFIG))
    stubs: StubFold = field(default_factory=lambda: StubFold(SOURCE, 3, CONFIG))
    clock: SourceClock = field(default_factory=lambda: SourceClock(SOURCE))

    def take(self, tenant: str, columns: SpanColumns, messages: Messages) -> None:
        """Give columns to both folds."""
        self.panes.take_spans(tenant, columns, messages)
        self.stubs.take(tenant, columns, messages)

    def flush(self) -> list[Any]:
        """Return everything that comes out, in a form that can be compared."""
        partials = sorted(
            self.panes.close_until(self.clock), key=lambda one: (one.tenant, one.service, one.pane_start_ns)
        )
        stubs = [told(decode_stubs(record.value)) for record in self.stubs.flush()]
        losses = [
            {(one.tenant, one.reason): one.count for one in fold.drain_losses()} for fold in (self.panes, self.stubs)
        ]
        late = sorted(self.panes.drain_late(), key=lambda one: (one.tenant, one.pane_start_ns))
        return [partials, sorted(stubs), losses, late, self.panes.lowest_needed_offset()]


def told(block: StubBlock) -> tuple[Any, ...]:
    """Return a block with names as text; where it ends is where its source was read to, items or none."""
    rows = block.columns
    columns = [
        [block.names[at] if at >= 0 else None for at in getattr(rows, name).tolist()]
        for name in ("service", "operation", "peer")
    ]
    numbers = ("trace", "span", "parent", "start_ns", "end_ns", "arrival_ns", "offset", "peer_kind", "kind", "error")
    columns += [getattr(rows, name).tolist() for name in numbers]
    return block.tenant, block.first_offset, block.part, str(columns)


@dataclass(frozen=True)
class Sent:
    """A message of a tenant, and when it arrived."""

    tenant: str
    payload: bytes
    at_ns: int


def fold_one_by_one(batches: Sequence[Sequence[Sent]]) -> list[Any]:
    """Decode and fold message by message with the reference."""
    folds, found, offset = Folds(), [], 0
    for batch in batches:
        for sent in batch:
            folds.clock.observe(sent.at_ns)
            try:
                columns = decode_spans(sent.payload)
            except BadPayload:
                columns = decode_spans(b"")
            if len(columns):
                folds.take(sent.tenant, columns, Messages.one(len(columns), sent.at_ns, offset))
            offset += 1
        found.append(folds.flush())
    return found


def fold_together(batches: Sequence[Sequence[Sent]]) -> list[Any]:
    """Decode and fold all messages that a tenant has in a batch at once."""
    folds, found, first = Folds(), [], 0
    for batch in batches:
        for tenant in dict.fromkeys(sent.tenant for sent in batch):
            own = [number for number, sent in enumerate(batch) if sent.tenant == tenant]
            for piece in DECODER.decode([batch[number].payload for number in own]):
                if piece.columns is not None:
                    places = [own[number] for number in piece.messages]
                    arrivals_ns = [batch[place].at_ns for place in places]
                    messages = Messages(piece.sizes, arrivals_ns, [first + place for place in places])
                    folds.take(tenant, piece.columns, messages)
        for sent in batch:
            folds.clock.observe(sent.at_ns)
        found.append(folds.flush())
        first += len(batch)
    return found


def renamed(span: MadeSpan, chance: random.Random) -> MadeSpan:
    """Give a span one of the names that are changed on their way, now and then."""
    return replace(span, name=chance.choice(NAMES)) if chance.random() < 0.7 else span


@given(arrivals=telemetry(), seed=st.integers(0, 2**32), batch=st.integers(1, 12), damaged=st.integers(0, 5))
@settings(max_examples=60, deadline=None, phases=[Phase.generate])  # shrinking takes minutes
def test_folds_of_the_compiled_decoder_equal_those_of_the_reference(
    arrivals: list[Arrival], seed: int, batch: int, damaged: int
) -> None:
    """Partials, stubs, losses and late notices, of sound and of damaged messages of two tenants."""
    chance = random.Random(seed)
    sound = [
        Sent(chance.choice("az"), traces_payload([renamed(span, chance) for span in record.spans]), record.at_ns)
        for record in records_of(arrivals)
    ]
    broken = [
        Sent("a", payload, chance.choice(sound).at_ns)
        for payload in mutations([sent.payload for sent in sound], seed, damaged)
    ]
    sent = sorted([*sound, *broken], key=lambda one: one.at_ns)
    batches = [sent[at : at + batch] for at in range(0, len(sent), batch)]
    for together, one_by_one in zip(fold_together(batches), fold_one_by_one(batches), strict=True):
        for found, expected in zip(together, one_by_one, strict=True):
            assert found == expected


def test_texts_repaired_or_cut_are_counted_once_in_a_batch_given_out_in_pieces() -> None:
    """A message that only the reference can read lies between two others, so the batch comes in three pieces."""
    span = MadeSpan("cart", "abcd", 2, 7, 1, 0, SECOND_NS, 2 * SECOND_NS)
    repaired = traces_payload([span]).replace(b"abcd", b"a\xff\xfed")
    cut, group = traces_payload([replace(span, name="x" * 300)]), traces_payload([span]) + b"\xa3\x06\x08\x01\xa4\x06"
    folds = Folds()
    for piece in DECODER.decode([repaired, group, cut, group, repaired]):
        if piece.columns is not None:
            folds.take("acme", piece.columns, Messages(piece.sizes, [3 * SECOND_NS], piece.messages))
    losses = {loss.reason: loss.count for loss in folds.panes.drain_losses()}
    assert losses == {LossReason.REPAIRED_TEXT: 2, LossReason.TRUNCATED_TEXT: 1}
