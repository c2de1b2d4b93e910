"""A sample of the people that traces were for, by which distinct ones are counted: bounded, and merged in any order.

A theta sketch, that is a bottom-k sample of hashes with the threshold below which all of them are known (Dasgupta,
Lang, Rhodes, Thaler: ICDT 2016; Beyer and others: SIGMOD 2007). Hashes are the same wherever a person turns up, so
samples of different nodes hold the same people, and who is in one and not in another can be told. With each stands a
mark (as in tuple sketches): whether a trace of theirs failed, and how long the longest took.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

SIZE = 64
"""People that a sample has at most: a share of one half is known to 0.06 (a standard deviation), one of 0.1 to 0.04."""

EVERYBODY = 1 << 32
"""The limit of a sample that left nobody out. Hashes are of 32 bits."""

_ROW = np.dtype([("hash", "<u4"), ("mark", "<u2")])
_FAILED = 1 << 15


class Mark(NamedTuple):
    """What befell a person: whether a trace of theirs failed, and the bin of the longest (as `Passages` has it)."""

    failed: bool
    longest: int


@dataclass(frozen=True, slots=True)
class PeopleSample:
    """Marks by hash: of all hashes below ``limit``, which are `SIZE` at most."""

    marks: dict[int, Mark] = field(default_factory=dict)
    limit: int = EVERYBODY

    def __bool__(self) -> bool:
        """Whether anybody was seen."""
        return bool(self.marks)

    @staticmethod
    def of(people: Iterable[tuple[int, Mark]]) -> PeopleSample:
        """Return the sample of (hash, mark), in which a person may come again."""
        marks: dict[int, Mark] = {}
        for hashed, mark in people:
            marks[hashed] = _worse(marks[hashed], mark) if hashed in marks else mark
        return _bounded(marks, EVERYBODY)

    def plus(self, other: PeopleSample) -> PeopleSample:
        """Return the sample of both together. Associative, commutative, and of the same twice it is the same."""
        if not other.marks and other.limit >= self.limit:
            return self
        marks = dict(self.marks)
        for hashed, mark in other.marks.items():
            marks[hashed] = _worse(marks[hashed], mark) if hashed in marks else mark
        return _bounded(marks, min(self.limit, other.limit))

    def below(self, limit: int) -> dict[int, Mark]:
        """Return those whose hashes are below a limit, which is not above the sample's own."""
        return {hashed: mark for hashed, mark in self.marks.items() if hashed < limit}

    @property
    def people(self) -> float:
        """How many distinct people there are, unbiased."""
        return len(self.marks) * EVERYBODY / self.limit

    def encode(self) -> bytes:
        """Return it in bytes: the limit, then six bytes a person."""
        rows = np.zeros(len(self.marks), _ROW)
        rows["hash"] = list(self.marks)
        rows["mark"] = [mark.failed * _FAILED | mark.longest for mark in self.marks.values()]
        return self.limit.to_bytes(5, "little") + np.sort(rows, order="hash").tobytes()

    @staticmethod
    def decode(raw: bytes) -> PeopleSample:
        """Read `encode` back."""
        rows = np.frombuffer(raw[5:], _ROW)
        marks = [Mark(mark >= _FAILED, mark & (_FAILED - 1)) for mark in rows["mark"].tolist()]
        return PeopleSample(dict(zip(rows["hash"].tolist(), marks, strict=True)), int.from_bytes(raw[:5], "little"))

    def text(self) -> str:
        """Return it as base64; of nobody nothing."""
        return b64encode(self.encode()).decode() if self.marks else ""

    @staticmethod
    def read(text: str) -> PeopleSample:
        """Read `text` back."""
        return PeopleSample.decode(b64decode(text)) if text else PeopleSample()


def _worse(one: Mark, other: Mark) -> Mark:
    return Mark(one.failed or other.failed, max(one.longest, other.longest))


def _bounded(marks: dict[int, Mark], limit: int) -> PeopleSample:
    """Keep the lowest hashes below a limit; the first that has no room is the new one."""
    known = sorted(hashed for hashed in marks if hashed < limit)
    if len(known) > SIZE:
        limit = known[SIZE]
    return PeopleSample({hashed: marks[hashed] for hashed in known[:SIZE]}, limit)
