"""Shapes of log lines: what names one request, host or moment is masked, and nothing else."""

from __future__ import annotations

import pytest

from streams.signatures.masking import MAX_SAMPLE, MAX_TOKENS, REST, sample_of, shape_of


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("user 42 took 12.5ms", "user <n> took <n>ms"),
        ("2023-01-29T15:38:06.123Z started", "<time> started"),
        ("16:42:10.333 WARN retry", "<time> WARN retry"),
        ("peer 10.1.2.3:8080 of ann@shop.example is gone", "peer <address> of <address> is gone"),
        ("order=550e8400-e29b-41d4-a716-446655440000 at 0xdeadBEEF", "order=<id> at <id>"),
        ("TraceID: b017403c40b9f88a3d77f6dd7dc26ea9 done", "TraceID: <id> done"),
        ("item 0PUK6V6EV0 of cart_1234", "item <id> of cart_<n>"),
        ("trip Z1234 seat 4b", "trip Z<n> seat <n>b"),
        ("log4j and k8s stay", "log4j and k8s stay"),
        ("OrderServiceImpl#68 said [no]", "OrderServiceImpl#<n> said [no]"),
        ("at 1700000000000000000", "at <id>"),
        ("  many\tblanks \n here ", "many blanks here"),
    ],
)
def test_what_varies_is_masked_and_the_words_stay(line: str, shape: str) -> None:
    """Numbers, identifiers, moments and addresses are not what a line says."""
    assert shape_of(line) == shape


def test_a_list_of_any_length_is_one_shape() -> None:
    """What comes after many words is data that somebody printed."""
    short, long = ("failed for " + "x " * length for length in (60, 90))
    assert shape_of(short) == shape_of(long)
    assert shape_of(short).split()[MAX_TOKENS - 1 :] == [REST]


def test_a_sample_is_one_printable_line() -> None:
    """A log that is read on a terminal must not be able to steer it."""
    sample = sample_of("\x1b[31mERROR\x1b[0m a\tb\r\nFAKE line\x00 \x1b]0;title\x07" + "x" * 1000)
    assert sample.startswith("ERROR a\\tb\\r\\nFAKE line\\x00 \\x1b]0;title\\x07")
    assert sample.isprintable()
    assert len(sample) == MAX_SAMPLE
