"""The signature of an exception: its type and the innermost frames of its stack, without what a build or run changes.

Frames are read line by line as Java, Kotlin, Scala, C#, Python, JavaScript, Ruby, PHP and Go print them. Line numbers,
addresses, hashes and generated class suffixes are dropped, so a new build of the same code keeps its signatures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

MAX_FRAMES = 5
"""Innermost frames that tell exceptions of one type apart."""

MAX_STACK = 16_384
"""Characters of a stack trace that are looked at, from either end."""

_REMEMBERED = 256
"""Stack traces whose shape is remembered: one fault throws the same one many times."""

_MAX_FRAME = 120
_MAX_FRAME_LINE = 400
_MAX_TYPE = 160

# In the order of the lines they are tried on; each has a group for the place (or none) and one for the function.
_CALL = re.compile(r"^\s+at (?:[\w.@-]+/{1,2})*(?P<function>[\w.$<>`\[\],+|]+)\(")  # Java and its kin, C#
_SCRIPT = re.compile(
    r"^\s+at (?:(?:async |new )*(?P<function>\S.*?) \()?(?:\S*[\\/])?(?P<place>[^\\/\s():]+):\d+:\d+\)?$"
)
_PYTHON = re.compile(r'^\s+File "(?:[^"]*[\\/])?(?P<place>[^"\\/]+)", line \d+, in (?P<function>\S+)')
_RUBY = re.compile(r"^\s*(?:from )?(?:\S*/)?(?P<place>[\w.-]+\.rb):\d+:in [`'](?P<function>.+)'")
_PHP = re.compile(r"^#\d+ (?:\S*[\\/])?(?P<place>[\w.-]+)\(\d+\): (?P<function>[\w\\:>-]+)\(")
_GO = re.compile(r"^(?P<function>[\w./*()-]+\.[\w.*()-]+)\(.*\)$")
_PATTERNS = (_CALL, _SCRIPT, _PYTHON, _RUBY, _PHP)
_PYTHON_STACK = "Traceback (most recent call last)"
_TYPE = re.compile(r"(?:[\w$]+[.:\\]+)*[A-Z][\w$]*(?:Exception|Error|Failure|Panic|Interrupt|Exit)\b|(?<=panic: )\w+")
_CAUSE = re.compile(r"^Caused by: ([\w.$]+)", re.MULTILINE)

_GENERATED = re.compile(
    r"\$\$[\w$]+|\$Lambda[\w$/.]*|lambda\$|\$\d+|0x[0-9a-fA-F]+|<lambda_[0-9a-f]+>|\.func\d+(?:\.\d+)*"
    r"|GeneratedMethodAccessor\d+|GeneratedConstructorAccessor\d+|b__[\d_]+|[0-9a-f]{8,}"
)


def exception_shape(type_name: str, stack: str) -> str:
    """Return type and innermost frames as one text, innermost first: ``TypeError < cart.py:total < ...``."""
    return _shape(known_as(type_name, stack)[:_MAX_TYPE], _ends_of(stack))


def known_as(type_name: str, stack: str) -> str:
    """Return the type by which an exception is told from others; of one of Python the last part.

    There spans say ``httpx.ReadError``, and log handlers ``ReadError`` of the same exception.
    """
    return type_name.rpartition(".")[2] if _PYTHON_STACK in _ends_of(stack) else type_name


@lru_cache(_REMEMBERED)
def _shape(type_name: str, stack: str) -> str:
    root = _CAUSE.findall(stack[-MAX_STACK:])
    types = [type_name or "exception"]
    if root and root[-1][:_MAX_TYPE] != type_name:
        types.append(f"caused by {root[-1][:_MAX_TYPE]}")
    return " < ".join([" ".join(types), *frames_of(stack)])


def frames_of(stack: str) -> list[str]:
    """Return the innermost frames, innermost first; of a chain of causes those of the last one."""
    text = _ends_of(stack)
    cause = text.rfind("\nCaused by: ")
    frames = list(_frames(text[cause + 1 :]))
    if _PYTHON_STACK in text:
        frames.reverse()
    return list(dict.fromkeys(frames))[:MAX_FRAMES]


def _ends_of(stack: str) -> str:
    """Return what is looked at of a stack trace."""
    return stack if len(stack) <= 2 * MAX_STACK else stack[:MAX_STACK] + "\n" + stack[-MAX_STACK:]


def type_in_stack(stack: str) -> str:
    """Return the type that a printed stack trace names: Python puts it last, others before the first frame."""
    lines = [line for line in stack[-MAX_STACK:].splitlines() if line.strip()]
    if _PYTHON_STACK in stack:
        candidates = lines[::-1][:1]
    else:
        first = next((place for place, line in enumerate(lines) if _frame_in(line, _PATTERNS)), len(lines))
        candidates = [*lines[:first][::-1], *lines[first : first + 1]]
    return next((found[-1] for line in candidates if (found := _TYPE.findall(line))), "")


def looks_like_stack(text: str) -> bool:
    """Tell whether a text of several lines holds a stack trace."""
    return "\n" in text and next(_frames(text), None) is not None


def _frames(text: str) -> Iterator[str]:
    patterns = (*_PATTERNS, _GO) if "goroutine " in text else _PATTERNS
    frames = (_frame_in(line, patterns) for line in text.splitlines())
    yield from (_GENERATED.sub("", frame)[:_MAX_FRAME] for frame in frames if frame)


def _frame_in(line: str, patterns: Iterable[re.Pattern[str]]) -> str:
    """Return what one line says of a frame, or nothing."""
    found = next(filter(None, (pattern.match(line[:_MAX_FRAME_LINE]) for pattern in patterns)), None)
    if found is None:
        return ""
    named = found.groupdict()
    return ":".join(filter(None, (named.get("place"), named["function"])))
