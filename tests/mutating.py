"""Damaged payloads from a seed: what a broken sender, disk or cable makes of sound ones, and some that nobody sends."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

TAGS = (
    0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x30, 0x39, 0x41, 0x4A, 0x7A, 0x0B, 0x0C, 0x13, 0x14, 0x0D, 0x08, 0x00, 0x06, 0x07,
)  # fmt: skip
"""Tags of fields of OTLP, of groups, of field 0, and of wire types that do not exist."""


def mutations(payloads: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """Yield ``count`` payloads, each made of one of those given by one to four changes."""
    chance = random.Random(seed)
    for _ in range(count):
        payload = bytearray(chance.choice(payloads))
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            _change(chance, payload, payloads)
        yield bytes(payload)


def _change(chance: random.Random, payload: bytearray, payloads: Sequence[bytes]) -> None:
    """Change a payload in one way, in place."""
    at = chance.randrange(len(payload) + 1)
    kind = chance.randrange(10)
    if kind == 0:
        del payload[at:]
    elif kind == 1:
        del payload[at : at + chance.randrange(1, 9)]
    elif kind == 2:
        payload[at:at] = chance.randbytes(chance.randrange(1, 9))
    elif kind == 3:
        payload[at:at] = chance.choice(payloads)[chance.randrange(60) : chance.randrange(60, 120)]
    elif kind == 4:
        payload[at:at] = _varint(chance)
    elif kind == 5:
        payload += bytes(payload[at:])
    elif at < len(payload):
        payload[at] = _byte(chance, payload[at], kind)


def _byte(chance: random.Random, old: int, kind: int) -> int:
    if kind == 6:
        return old ^ 1 << chance.randrange(8)
    if kind == 7:
        return chance.randrange(256)
    return chance.choice(TAGS) if kind == 8 else min(255, old + chance.choice((1, 2, 0x7F, 0x80)))


def _varint(chance: random.Random) -> bytes:
    """Return a number, often one that is longer than it has to be, or than it may be."""
    return bytes(chance.choice((0x80, 0xFF)) for _ in range(chance.randrange(11))) + bytes([chance.randrange(0x80)])
