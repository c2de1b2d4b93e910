"""A key of an attribute is written once in a block, and stands for itself by a number everywhere else."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from schemas.topics import TRACES
from streams.flat_columns import Flattener
from streams.kernels.compiled import IS_COMPILED
from streams.kernels.interning import FULL
from streams.kernels.keys import MOST_KEYS, forget_keys, make_keys, number_of
from streams.kernels.sheets import keys_sheet, put_keys

KEYS_A_SPAN = 100
SPANS = 70


def numbers_of(keys: list[bytes], room: int = 1 << 12, size_bytes: int = 1 << 16) -> list[int]:
    """Return the number of each key, as it comes."""
    table = make_keys(room, size_bytes)
    data = np.frombuffer(b"".join(keys) + b"\0", np.uint8)
    ends = np.cumsum([0, *map(len, keys)])
    return [int(number_of(table, data, begin, end)) for begin, end in pairwise(ends)]


def message(first_key: int) -> bytes:
    """Return a request of many spans, each with keys that nobody else has."""
    spans = []
    for number in range(SPANS):
        span = Span(trace_id=b"0123456789abcdef", span_id=number.to_bytes(8, "big").replace(b"\0", b"1"), name="GET /")
        for key in range(KEYS_A_SPAN):
            span.attributes.add(key=f"key.{first_key + number * KEYS_A_SPAN + key}").value.string_value = "x"
        spans.append(span)
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]
    ).SerializeToString()


def test_a_key_has_one_number_in_whatever_order_keys_come() -> None:
    """Also keys that begin or end like others, are empty, or are longer than eight bytes."""
    chance = random.Random(4)
    known = [b"", *{chance.randbytes(size) for size in (1, 2, 7, 8, 9, 15, 16, 17, 40) for _ in range(20)}]
    known += [key + b"x" for key in known] + [b"x" + key for key in known]
    drawn = [chance.choice(known) for _ in range(5_000)]
    by_key: dict[bytes, int] = {}
    for key, number in zip(drawn, numbers_of(drawn), strict=True):
        assert by_key.setdefault(key, number) == number
    assert len(set(by_key.values())) == len(by_key)


def test_texts_stand_in_the_order_of_their_numbers() -> None:
    """The empty one is number 0; a length of more than 127 takes two bytes."""
    table, data = make_keys(16, 1 << 10), np.frombuffer(b"method" + b"y" * 200 + b"\0", np.uint8)
    zero, six, end = np.array([0, 6, 206])
    assert [number_of(table, data, zero, six), number_of(table, data, six, end)] == [1, 2]
    sheet = keys_sheet(table)
    put_keys(sheet, 0)
    assert sheet.room[: sheet.used[0]].tobytes() == b"\0" + b"\6method" + b"\xc8\x01" + b"y" * 200


@pytest.mark.parametrize(("room", "size_bytes"), [(4, 1 << 10), (1 << 10, 4)])
def test_a_full_table_gives_no_number_and_still_knows_what_it_has(room: int, size_bytes: int) -> None:
    """Full of keys, or of their bytes. The empty key is the first."""
    assert numbers_of([b"a", b"b", b"c", b"dddd", b"a", b"b"], room, size_bytes) == [1, 2, 3, FULL, 1, 2]


def test_keys_begin_anew() -> None:
    """What a block had is not in the next one."""
    table, data = make_keys(16, 1 << 10), np.frombuffer(b"ab\0", np.uint8)
    zero, one, two = np.arange(3)
    assert number_of(table, data, zero, one) == 1
    forget_keys(table)
    assert [number_of(table, data, one, two), number_of(table, data, zero, one)] == [1, 2]


def test_nobody_can_choose_keys_that_fall_together() -> None:
    """Their places in the hash table are others in each process, as Python's own are."""
    code = "from streams.kernels.keys import make_keys; print(make_keys(4, 64).table.totals[2])"
    seeds = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seeds) == 2


@pytest.mark.skipif(not IS_COMPILED, reason="nothing is flattened without numba")
def test_messages_with_more_keys_than_there_are_numbers_are_left_alone_and_the_next_block_is_not() -> None:
    """Whoever makes a key of every id costs time, and nothing else."""
    messages = [message(turn * SPANS * KEYS_A_SPAN) for turn in range(12)]
    flattener = Flattener(TRACES.name)
    fitting = MOST_KEYS // (SPANS * KEYS_A_SPAN)
    assert flattener.flatten(messages).rows.tolist() == [SPANS] * fitting + [0] * (12 - fitting)
    assert flattener.flatten(messages[-2:]).rows.tolist() == [SPANS, SPANS]
