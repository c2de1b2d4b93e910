"""Compiled code prints values as ClickHouse does."""

from __future__ import annotations

import base64
import random
import struct
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.kernels.printing import put_base64, put_double, put_hex, put_integer
from streams.kernels.sheets import Sheet, make_sheet, put_text

DOUBLES = st.floats() | st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(), st.integers(-30, 30))


def sheet() -> Sheet:
    """Return room for one text."""
    return make_sheet(np.array([256]))


def text_in(filled: Sheet) -> str:
    """Return the one text of a sheet, whose length must be right."""
    raw = filled.room[: filled.used[0]].tobytes()
    assert raw[0] == len(raw) - 1
    return raw[1:].decode()


def expected(number: float) -> str:
    """Return a double in the shortest digits, which Python's `repr` has, in the form that ECMAScript gives them."""
    if not np.isfinite(number):
        return "nan" if np.isnan(number) else "inf" if number > 0 else "-inf"
    sign, places, power = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, places)).rstrip("0") or "0"
    power = int(power) + len(places) - len(digits) if number else 0
    minus, point = "-" * sign, len(digits) + power
    if not -6 < point <= 21:
        return f"{minus}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1}"
    if power >= 0:
        return minus + digits + "0" * power
    return f"{minus}{digits[:point]}.{digits[point:]}" if point > 0 else f"{minus}0.{'0' * -point}{digits}"


@given(DOUBLES)
@example(5e-324)
@example(1.7976931348623157e308)
@example(2.2250738585072014e-308)
@example(9007199254740993.0)
@example(-0.0)
def test_a_double_has_its_shortest_digits(number: float) -> None:
    """Subnormal and huge ones, integers, those on the edge of an exponent."""
    found = sheet()
    put_double(found, 0, np.uint64(struct.unpack("<Q", struct.pack("<d", number))[0]))
    assert text_in(found) == expected(number)


def test_powers_and_random_bits_have_their_shortest_digits() -> None:
    """Where the neighbours of a double are not equally far: powers of two; and of ten, where digits are fewest."""
    chance = random.Random(1)
    powers = [2.0**power for power in range(-1074, 1024)] + [float(f"1e{power}") for power in range(-323, 309)]
    bits = [struct.unpack("<Q", struct.pack("<d", number))[0] for number in powers]
    for one in bits + [chance.getrandbits(64) for _ in range(5000)]:
        found = sheet()
        put_double(found, 0, np.uint64(one))
        assert text_in(found) == expected(struct.unpack("<d", struct.pack("<Q", one))[0])


@given(st.integers(-(2**63), 2**63 - 1))
@example(-(2**63))
@example(2**63 - 1)
@example(0)
def test_an_integer_is_printed(number: int) -> None:
    """Of 64 bits, with its sign."""
    found = sheet()
    put_integer(found, 0, np.uint64(number & (2**64 - 1)))
    assert text_in(found) == str(number)


@pytest.mark.parametrize("size", range(12))
def test_bytes_are_printed_in_base64_and_in_hexadecimal(size: int) -> None:
    """With all paddings."""
    raw = random.Random(size).randbytes(size)
    data = np.frombuffer(raw, np.uint8)
    for put, text in ((put_base64, base64.b64encode(raw).decode()), (put_hex, raw.hex())):
        found = sheet()
        put(found, 0, data, 0, size)
        assert text_in(found) == text


@pytest.mark.parametrize("size", [0, 1, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 300])
@pytest.mark.parametrize("behind", [0, 31, 32, 100])
def test_a_text_is_written_behind_its_length_and_the_next_one_behind_it(size: int, behind: int) -> None:
    """Short and long, in the midst of the data and at its end, where no more than the text may be read."""
    data = np.random.default_rng(size).integers(0, 256, size + behind, np.uint8)
    data.flags.writeable = False
    found, text = make_sheet(np.array([2 * size + 100])), data[:size].tobytes()
    put_text(found, 0, data, 0, size)
    put_text(found, 0, data, 0, size)
    length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    assert found.room[: found.used[0]].tobytes() == 2 * (length + text)
