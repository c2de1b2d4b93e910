"""Append values as the text that ClickHouse prints: integers, doubles, base64, hexadecimal.

A double has as few digits as tell it from every other, of those the nearest: Schubfach (Raffaello Giulietti, "The
Schubfach way to render doubles", 2020), here for 64 bits. Without an exponent from 0.000001 to below 1e21, as in
ECMAScript (`Number::toString`), which is what ClickHouse's ``toString`` gives.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.compiled import compiled, inlined
from streams.kernels.sheets import put_byte, put_size
from streams.kernels.wire import byte_at

_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_INFINITY, _NAN = np.frombuffer(b"inf", np.uint8), np.frombuffer(b"nan", np.uint8)

_FIRST_POWER, _LAST_POWER = -292, 324


def _powers_of_ten() -> list[tuple[int, int]]:
    """Return 128 bits of each power of ten, rounded up: the high half and the low one."""
    found = []
    for power in range(_FIRST_POWER, _LAST_POWER + 1):
        shift = 127 - (power * 1741647 >> 19)  # so that the highest of 128 bits is set
        top, bottom = (10**power if power > 0 else 1) << max(shift, 0), 10 ** max(-power, 0) << max(-shift, 0)
        bits = top // bottom + (1 if power < 0 or power > 55 else 0)
        found.append((bits >> 64, bits & (1 << 64) - 1))
    return found


_POWERS = np.array(_powers_of_ten(), np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_MINUS, _POINT, _NOUGHT, _E, _PADDING = np.array([45, 46, 48, 101, 61])
_NONE, _ONE_DIGIT = np.arange(2)
_32, _52, _ONE, _TEN, _FORTY = np.uint64(32), np.uint64(52), np.uint64(1), np.uint64(10), np.uint64(40)
_FRACTION = np.uint64((1 << 52) - 1)
_EXPONENT = np.uint64(0x7FF)
_HIDDEN = np.uint64(1 << 52)
_LEAST_EXPONENT, _MOST_EXPONENT = -6, 21
"""Of the first digit's place, one further: outside, a double is printed with an exponent."""


@inlined
def digits_of(number):
    """Return how many decimal digits an unsigned number has."""
    digits = 1
    while number >= _TEN:
        number //= _TEN
        digits += 1
    return digits


@inlined
def put_digits(sheet, column, number, digits):
    """Append the last ``digits`` decimal digits of an unsigned number."""
    at = sheet.used[column] + digits
    for _ in range(digits):
        at -= 1
        sheet.room[np.uint64(at)] = np.uint8(np.uint64(48) + number % _TEN)
        number //= _TEN
    sheet.used[column] += digits


@inlined
def put_integer(sheet, column, bits):
    """Append a signed integer of 64 bits as a text."""
    is_negative = np.int64(bits) < 0
    number = np.uint64(0) - bits if is_negative else bits
    digits = digits_of(number)
    put_size(sheet, column, digits + is_negative)
    if is_negative:
        put_byte(sheet, column, _MINUS)
    put_digits(sheet, column, number, digits)


@compiled
def put_base64(sheet, column, data, begin, end):
    """Append bytes as a text in base64, padded (RFC 4648, section 4)."""
    put_size(sheet, column, (end - begin + 2) // 3 * 4)
    for at in range(begin, end, 3):
        left = min(end - at, 3)
        bits = np.int64(0)
        for index in range(3):
            bits = bits << 8 | (np.int64(byte_at(data, at + index)) if index < left else _NONE)
        for index in range(4):
            place = np.uint64(bits >> (18 - 6 * index) & 63)
            put_byte(sheet, column, np.int64(_BASE64[place]) if index <= left else _PADDING)


@compiled
def put_hex(sheet, column, data, begin, end):
    """Append bytes as a text of hexadecimal digits."""
    put_size(sheet, column, 2 * (end - begin))
    for at in range(begin, end):
        byte = byte_at(data, at)
        put_byte(sheet, column, np.int64(_HEX[np.uint64(byte >> 4)]))
        put_byte(sheet, column, np.int64(_HEX[np.uint64(byte & 15)]))


@compiled
def _put_digits_apart(sheet, column, number, digits):
    put_digits(sheet, column, number, digits)


@compiled
def put_double(sheet, column, bits):
    """Append a double, given as its bits, as a text."""
    biased = np.int64(bits >> _52 & _EXPONENT)
    sign = np.int64(bits >> np.uint64(63))
    if biased == 0x7FF:
        is_nan = bits & _FRACTION != np.uint64(0)
        word = _NAN if is_nan else _INFINITY
        shown = _NONE if is_nan else sign
        put_size(sheet, column, 3 + shown)
        _put_sign(sheet, column, shown)
        for index in range(3):
            put_byte(sheet, column, np.int64(word[index]))
        return
    digits, power = shortest(bits & _FRACTION, biased)
    _put_decimal(sheet, column, sign, digits, power)


@compiled
def _put_sign(sheet, column, sign):
    if sign:
        put_byte(sheet, column, _MINUS)


@compiled
def _put_decimal(sheet, column, sign, number, power):
    """Append ``number * 10**power``, where ``number`` does not end with 0."""
    digits = digits_of(number)
    point = digits + power  # digits before the decimal point
    if point <= _LEAST_EXPONENT or point > _MOST_EXPONENT:
        _put_with_exponent(sheet, column, sign, number, digits, point - 1)
    elif power >= 0:
        put_size(sheet, column, sign + point)
        _put_sign(sheet, column, sign)
        _put_digits_apart(sheet, column, number, digits)
        _put_zeros(sheet, column, power)
    elif point > 0:
        put_size(sheet, column, sign + digits + 1)
        _put_sign(sheet, column, sign)
        scale = np.uint64(1)
        for _ in range(-power):
            scale *= _TEN
        _put_digits_apart(sheet, column, number // scale, point)
        put_byte(sheet, column, _POINT)
        _put_digits_apart(sheet, column, number, -power)
    else:
        put_size(sheet, column, sign + 2 - power)
        _put_sign(sheet, column, sign)
        put_byte(sheet, column, _NOUGHT)
        put_byte(sheet, column, _POINT)
        _put_zeros(sheet, column, -point)
        _put_digits_apart(sheet, column, number, digits)


@compiled
def _put_zeros(sheet, column, count):
    for _ in range(count):
        put_byte(sheet, column, _NOUGHT)


@compiled
def _put_with_exponent(sheet, column, sign, number, digits, exponent):
    size = np.uint64(abs(exponent))
    exponent_digits = digits_of(size)
    put_size(sheet, column, sign + digits + (digits > 1) + 1 + (exponent < 0) + exponent_digits)
    _put_sign(sheet, column, sign)
    scale = np.uint64(1)
    for _ in range(digits - 1):
        scale *= _TEN
    _put_digits_apart(sheet, column, number // scale, _ONE_DIGIT)
    if digits > 1:
        put_byte(sheet, column, _POINT)
        _put_digits_apart(sheet, column, number, digits - 1)
    put_byte(sheet, column, _E)
    _put_sign(sheet, column, np.int64(exponent < 0))
    _put_digits_apart(sheet, column, size, exponent_digits)


@compiled
def shortest(fraction, biased):
    """Return the shortest decimal that is read as this double: digits without trailing zeros, and a power of ten."""
    if biased == 0 and fraction == np.uint64(0):
        return np.uint64(0), 0
    number, power = _schubfach(fraction, biased)
    while number % _TEN == np.uint64(0):
        number //= _TEN
        power += 1
    return number, power


@compiled
def _schubfach(fraction, biased):
    """The names are those of the paper: c * 2**q is the double, between whose neighbours' middles the decimal lies."""
    c = fraction | _HIDDEN if biased else fraction
    q = (biased if biased else 1) - 1075
    if 0 <= -q < 53 and c & ((_ONE << np.uint64(-q)) - _ONE) == np.uint64(0):
        return c >> np.uint64(-q), 0  # a small integer
    is_closer_below = fraction == np.uint64(0) and biased > 1
    k = (q * 1262611 - (524031 if is_closer_below else 0)) >> 22
    h = np.uint64(q + (-k * 1741647 >> 19) + 1)
    place = -k - _FIRST_POWER
    high, low = _POWERS[place, 0], _POWERS[place, 1]
    middle = c << np.uint64(2)
    below = middle - (_ONE if is_closer_below else np.uint64(2))
    odd = c & _ONE
    lower = _round_to_odd(high, low, below << h) + odd
    v = _round_to_odd(high, low, middle << h)
    upper = _round_to_odd(high, low, (middle + np.uint64(2)) << h) - odd
    s = v >> np.uint64(2)
    if s >= _TEN:
        tens = s // _TEN
        is_inside, is_next_inside = lower <= _FORTY * tens, _FORTY * tens + _FORTY <= upper
        if is_inside != is_next_inside:
            return tens + np.uint64(is_next_inside), k + 1
    is_inside, is_next_inside = lower <= s << np.uint64(2), (s << np.uint64(2)) + np.uint64(4) <= upper
    if is_inside != is_next_inside:
        return s + np.uint64(is_next_inside), k
    half = (s << np.uint64(2)) + np.uint64(2)
    is_up = v > half or (v == half and s & _ONE == _ONE)
    return s + np.uint64(is_up), k


@compiled
def _round_to_odd(high, low, factor):
    """Return the upper 64 of 192 bits of a product; the last bit says whether anything was cut off."""
    x_high, _ = _product(low, factor)
    y_high, y_low = _product(high, factor)
    y_low += x_high
    y_high += np.uint64(y_low < x_high)
    return y_high | np.uint64(y_low > _ONE)


@compiled
def _product(a, b):
    """Return the high and the low half of a product of two numbers of 64 bits."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _32, b & _LOW, b >> _32
    low = a_low * b_low
    middle = a_high * b_low + (low >> _32)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _32) + (other >> _32), other << _32 | low & _LOW
