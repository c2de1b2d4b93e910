"""The shape of a log line: what is left when everything that names one request, host or moment is masked.

A pure function of the line, so that every worker, and every reading of the log, gives a line the same shape. Masking
before clustering is what makes Drain accurate on logs full of identifiers (Zhu et al., "Tools and Benchmarks for
Automated Log Parsing", ICSE-SEIP 2019).
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_LINE = 512
"""Characters of a line that are looked at."""

MAX_TOKENS = 40
"""Words of a shape; what follows (a printed object, a list of any length) is `REST`."""

MAX_SAMPLE = 240
"""Characters of a sample."""

NUMBER, IDENTIFIER, MOMENT, ADDRESS, REST = "<n>", "<id>", "<time>", "<address>", "<...>"
MASKS = frozenset((NUMBER, IDENTIFIER, MOMENT, ADDRESS, REST))

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HAS_DIGIT = re.compile(r"\d")

# One pass over a word: the alternatives are ordered from the most to the least specific.
_VARIABLE = re.compile(
    r"(?P<moment>(?:\d{4}-\d\d-\d\dT?)?\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?|\d{4}-\d\d-\d\d)"
    r"|(?P<id>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|\b0x[0-9a-fA-F]+\b)"
    r"|(?P<address>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b)"
    r"|(?P<run>(?<![^\W_])[^\W\d_]*+\d[^\W_]*+(?:\.\d++)*+)"
)
_MAIL = re.compile(r"[\w.+-]++@[\w-]+\.[\w.-]+")
_DIGITS = re.compile(r"\d+")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_HEX = re.compile(r"[0-9a-fA-F]+")
_LONG_RUN = 8
_LONG_NUMBER = 16
_SHORT_NUMBER = 2
_REMEMBERED_WORDS = 16_384
_LONGEST_WORD = 64


def shape_of(line: str) -> str:
    """Return the masked words of a line, separated by single spaces."""
    head = line[:MAX_LINE]
    if not head.isprintable():
        head = _CONTROLS.sub(" ", _ESCAPES.sub("", head))
    words = head.split(None, MAX_TOKENS)
    if len(words) > MAX_TOKENS or len(line) > MAX_LINE:
        words[MAX_TOKENS - 1 :] = [REST]
    return " ".join([_shape_of_word(word) if len(word) <= _LONGEST_WORD else _mask_word(word) for word in words])


def sample_of(line: str) -> str:
    """Return the line as one printable line: control characters escaped, cut to `MAX_SAMPLE` characters."""
    head = _ESCAPES.sub("", line[: 2 * MAX_SAMPLE])
    escaped = _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), head).strip()
    return escaped if len(escaped) <= MAX_SAMPLE else escaped[: MAX_SAMPLE - 1] + "…"


def _mask_word(word: str) -> str:
    """Mask what varies in one word; a word without a digit is taken as it is."""
    if "@" in word:
        word = _MAIL.sub(ADDRESS, word, count=1)
    return _VARIABLE.sub(_mask, word) if _HAS_DIGIT.search(word) else word


_shape_of_word = lru_cache(_REMEMBERED_WORDS)(_mask_word)


def _mask(found: re.Match[str]) -> str:
    if found.lastgroup == "run":
        return _mask_run(found.group())
    return {"moment": MOMENT, "id": IDENTIFIER, "address": ADDRESS}[found.lastgroup or ""]


def _mask_run(run: str) -> str:
    """Mask letters and digits in one go: a number, an identifier, or a word that ends in a number (``log4j`` stays)."""
    if run.isdigit():
        return IDENTIFIER if len(run) >= _LONG_NUMBER else NUMBER
    if "." in run:
        return _NUMBERS.sub(NUMBER, run)
    numbers = _DIGITS.findall(run)
    if len(run) >= _LONG_RUN and (len(numbers) > 1 or _HEX.fullmatch(run)):
        return IDENTIFIER
    if run[0].isalpha() and run[-1].isalpha() and len(numbers) == 1 and len(numbers[0]) <= _SHORT_NUMBER:
        return run
    return _NUMBERS.sub(NUMBER, run)
