"""Mutated payloads through the compiled decoder and the reference: the same items, and no byte read outside.

``FUZZ_PAYLOADS`` says how many (3,000), ``FUZZ_SEED`` where to begin. Run with ``NUMBA_BOUNDSCHECK=1`` too: then the
compiled code checks each index itself.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count, islice, product
from pathlib import Path

import numpy as np
import pytest
from children import with_tests
from decoder_runs import outcome_alone, outcomes_of_batch
from fenced import Fence
from made_spans import CLIENT, CONSUMER, PEERS, SERVER, START_NS, MadeSpan, traces_payload
from mutating import mutations
from odd_messages import number, sized, span

from schemas.crowding import MOST_REPEATED_BYTES
from streams.kernels.compiled import IS_COMPILED
from streams.kernels.interning import InternTable, intern_table
from streams.kernels.spans import COLUMNS, Scratch, SpanTable, make_scratch, walk_spans
from streams.otlp.columns import MAX_ITEMS, MAX_RESOURCES
from streams.otlp.walker import SpanDecoder

PAYLOADS = int(os.environ.get("FUZZ_PAYLOADS", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
BATCH = 64
ROOM_LASTS = 256
"""So many payloads surely have room in the tables of `empty_tables`."""

THROWN = (("KeyError", "'cart'", "Traceback (most recent call last):\n"), ("shop.Refused", "", ""))
SPAN = MadeSpan("cart", "GET /", CLIENT, 7, 1, 0, START_NS, START_NS + 5)


def sound_payloads() -> list[bytes]:
    """Return some small messages that between them have every field."""
    chance, number = random.Random(5), count(1)
    more = (("url.full", "https://u:p@bank.example:8443/a?b#c"), ("server.port", "5432"), ("peer.service", "ledger"))
    people = (("enduser.id", "Zoë"), ("user.id", "somebody-of-24-letters"), ("session.id", ""))
    peers = (*PEERS, more[:1], more[2:], (*more, ("db.system", "mysql")), people, (*more, *people[:1]))
    spans = [
        replace(
            SPAN,
            service=service,
            kind=kind,
            span=next(number),
            parent=chance.randrange(3),
            peer=peer,
            error=error,
            exceptions=THROWN[:number_of_thrown],
            tier=chance.choice(("", "low", "medium", "high", "critical", "gold")),
        )
        for service in ("cart", "größe")
        for kind in (1, SERVER, CLIENT, CONSUMER)
        for peer in peers
        for error, number_of_thrown in ((False, 0), (True, 0), (True, 1), (False, 2))
    ]
    chance.shuffle(spans)
    return [traces_payload(spans[at : at + size]) for size in (1, 2, 5) for at in range(0, len(spans), size)]


def test_the_decoders_accept_the_same_items_of_mutated_payloads() -> None:
    """Every field of every span, every reject and every refusal, whatever lies beside the payload."""
    decoder, payloads = SpanDecoder(), mutations(sound_payloads(), SEED, PAYLOADS)
    while batch := list(islice(payloads, BATCH)):
        found = outcomes_of_batch(decoder, batch)
        for payload, outcome in zip(batch, found, strict=True):
            assert outcome == outcome_alone(payload), payload.hex()


def test_the_decoders_accept_the_same_of_spans_that_are_cut_in_their_attributes() -> None:
    """At every byte: within a tag, a size, a key, a text and a number, of spans whose attributes are read or not."""
    payloads = list(cut_spans())
    for payload, outcome in zip(payloads, outcomes_of_batch(SpanDecoder(), payloads), strict=True):
        assert outcome == outcome_alone(payload), payload.hex()


def cut_spans() -> Iterator[bytes]:
    """Yield spans that are cut anywhere in their attributes, as the last bytes of messages that are whole otherwise."""
    port, address = sized(1, b"server.port"), sized(1, b"server.address")
    values = (
        (sized(1, b"thread.name"), sized(1, b"main")), (address, sized(1, b"bank")), (port, number(3, 5432)),
        (sized(1, b"k"), sized(1, b"x" * 130)), (address, sized(1, b"x" * 130)), (port, number(3, 2**64 - 1)),
        (port, number(3, 0)), (address, sized(1)),
    )  # fmt: skip
    attributes = b"".join(sized(9, key, sized(2, value)) for key, value in values)
    for kind, end in product((SERVER, CLIENT), range(len(attributes) + 1)):
        yield span(number(6, kind), attributes[:end])


@pytest.mark.skipif(not IS_COMPILED or sys.platform == "win32", reason="the walker is not compiled here")
def test_no_byte_outside_of_a_payload_is_read() -> None:
    """In a process of its own, which a read outside would end."""
    environment = with_tests(dict(os.environ))
    child = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == [str(len(list(cut_spans())) + PAYLOADS), "payloads"]


def walk_fenced() -> int:
    """Walk the same mutated payloads between fences; return how many."""
    fence, done = Fence(), 0
    status, sizes, repeated = np.zeros(1, np.int8), np.zeros(1, np.int64), np.zeros(1, np.int64)
    room = (status, sizes, repeated, MAX_ITEMS, MAX_RESOURCES, MOST_REPEATED_BYTES)
    for payload in chain(cut_spans(), mutations(sound_payloads(), SEED, PAYLOADS)):
        if done % ROOM_LASTS == 0:
            tables = empty_tables()
        bounds = np.array([0, len(payload)])
        for data in (fence.at_the_end(payload), fence.at_the_beginning(payload)):
            walk_spans(data, bounds, 0, 0, *tables, *room)
        done += 1
    return done


def empty_tables() -> tuple[SpanTable, InternTable, Scratch]:
    """Return what the walker fills."""
    table = SpanTable(
        np.zeros((COLUMNS, 8_192), np.int64),
        np.zeros((8_192, 3), np.int32),
        np.zeros((8_192, 4), np.int64),
        np.zeros(3, np.int64),
    )
    return table, intern_table(8_192, 1 << 20, 1), make_scratch()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(walk_fenced(), "payloads")  # noqa: T201  # how it reports to the test
