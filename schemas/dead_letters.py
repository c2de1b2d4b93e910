"""Dead letters: what a refused message or item leaves behind, and how a replay of it says what it is.

A letter's key is ``topic:partition:offset:item`` of the record it came from, whoever writes it and however often. A
replay carries that key in `REPLAY_HEADER`; refused again, it is the same letter with the next ``attempt``.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from pydantic import Field

from schemas.errors import RejectReason
from schemas.events import Event

KEPT_BYTES = 65_536
"""How much of a payload a letter keeps; the hash is of all of it."""

MOST_KEPT_BYTES = 64 * KEPT_BYTES
"""How much the letters of one message's items keep together, beside one letter for each reason."""

UNKNOWN_TENANT = "unknown"
"""Whose letters those are whose tenant nobody knows. Reserved: no tenant can have this name."""

WHOLE_MESSAGE = -1
"""The ``item`` of a letter that is about a message and not about items in it."""

REPLAY_HEADER = "x-incidentscope-replay"
"""Marks a record as a replay of a dead letter: whose, the how many-th, and when the original had arrived."""

MOST_ITEMS_LISTED = 64
"""Items a replay header lists; of more it has a bit for each item of the message."""

MOST_BITS_BYTES = 8_192
"""Of such bits: 65,536 items, more than a message may have."""

_LETTER_KEY = re.compile(r"([A-Za-z0-9._-]{1,100}):(\d{1,10}):(\d{1,19}):(-1|\d{1,10})", re.ASCII)
_REPLAY = re.compile(
    rf"({_LETTER_KEY.pattern});(\d{{1,9}});(\d{{1,19}});((?:\d{{1,10}}(?:,\d{{1,10}})*)?|bits:[A-Za-z0-9+/=]+)",
    re.ASCII,
)


class DeadLetter(Event):
    """A message that could not be used, or the items of one message that could not, all for one reason."""

    topic: str
    partition: int
    offset: int
    item: int = Field(WHOLE_MESSAGE, description="-1 for a whole message, else the ordinal of the first item refused.")
    items: list[int] = Field([], description="Ordinals of the refused items; empty for a whole message.")
    tenant: str
    reason: RejectReason
    detail: str
    payload_sha256: str = Field(description="Of the whole payload.")
    payload_bytes: int = Field(0, description="Size of the whole payload.")
    payload_base64: str = Field(
        description="The bytes as they came; for items a request of just these. Beyond 64 KiB only the first 64 KiB."
    )
    payload_truncated: bool = False
    decoder_version: str
    first_seen_ns: int = Field(description="When the original record had arrived.")
    driven: bool = Field(False, description="Whether its tenant was being replayed, on a clock of its own.")
    attempt: int = Field(0, description="How often it had been replayed when it was refused this time.")

    @property
    def key(self) -> str:
        """What names the letter: ``topic:partition:offset:item``."""
        return f"{self.topic}:{self.partition}:{self.offset}:{self.item}"


@dataclass(frozen=True, slots=True)
class LetterKey:
    """A letter's key, taken apart."""

    topic: str
    partition: int
    offset: int
    item: int

    @classmethod
    def parse(cls, text: str) -> LetterKey:
        """Read ``topic:partition:offset:item``. Raises `ValueError` for anything else."""
        found = _LETTER_KEY.fullmatch(text)
        if found is None or int(found[3]) >= 2**63 or max(int(found[2]), int(found[4])) >= 2**31:
            raise ValueError("a letter is named topic:partition:offset:item")
        return cls(found[1], int(found[2]), int(found[3]), int(found[4]))

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}:{self.item}"


@dataclass(frozen=True, slots=True)
class Replay:
    """What `REPLAY_HEADER` says. ``items``: take only these items of the record, ascending; empty means all of it."""

    letter: LetterKey
    attempt: int
    arrival_ns: int
    items: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the header's value."""
        return f"{self.letter};{self.attempt};{self.arrival_ns};{_items_as_text(self.items)}".encode()

    @classmethod
    def decode(cls, value: bytes) -> Replay | None:
        """Read a header's value; None for what is none, so that nobody's nonsense costs a record."""
        found = _REPLAY.fullmatch(value.decode("ascii", "replace"))
        if found is None or not 0 < int(found[7]) < 2**63 or not 0 < int(found[6]) < 2**31:
            return None
        try:
            return cls(LetterKey.parse(found[1]), int(found[6]), int(found[7]), _items_in(found[8]))
        except ValueError:
            return None


def _items_as_text(items: tuple[int, ...]) -> str:
    if len(items) <= MOST_ITEMS_LISTED:
        return ",".join(map(str, items))
    bits = bytearray(max(items) // 8 + 1)
    for item in items:
        bits[item // 8] |= 1 << item % 8
    return "bits:" + base64.b64encode(bits).decode()


def _items_in(text: str) -> tuple[int, ...]:
    """Read what `_items_as_text` wrote. Raises `ValueError` for what it would not write."""
    if not text.startswith("bits:"):
        items = tuple(map(int, text.split(","))) if text else ()
        if len(items) > MOST_ITEMS_LISTED:
            raise ValueError("more items than are listed")
        return items
    raw = base64.b64decode(text.removeprefix("bits:"), validate=True)
    if len(raw) > MOST_BITS_BYTES or not any(raw):
        raise ValueError("not the bits of a message's items")
    return tuple(8 * place + bit for place, byte in enumerate(raw) for bit in range(8) if byte >> bit & 1)
