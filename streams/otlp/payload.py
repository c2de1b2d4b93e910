"""Open what a producer sent: unpack it within bounds, and turn OTLP JSON into protobuf."""

from __future__ import annotations

import zlib

import zstandard

from schemas.errors import BadPayload, RejectReason
from streams.otlp.columns import Signal
from streams.otlp.otlp_json import json_to_protobuf

MAX_UNPACKED_BYTES = 20 * 1024 * 1024
"""Of one message after decompression."""

MAX_RATIO = 100
"""Of unpacked to packed size."""

MAX_MEMBERS = 1_000
"""Gzip members or zstd frames of one message: each costs a copy of all that follows it."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_STEP_BYTES = 256
_BOM = b"\xef\xbb\xbf"
_GLANCE_BYTES = 64


def open_payload(
    raw: bytes | None, signal: Signal | None = None, max_unpacked_bytes: int = MAX_UNPACKED_BYTES
) -> bytes:
    """Return a message's OTLP protobuf bytes.

    Raises `BadPayload`: ``null_value``, ``too_large``, ``decode``, or ``wrong_signal`` when ``signal`` is given
    and JSON says it is another. Protobuf is returned as it is, without a look inside.
    """
    if raw is None:
        raise BadPayload(RejectReason.NULL_VALUE, "the record has no value")
    if raw[:2] == _GZIP:
        raw = _gunzip(raw, _limit(len(raw), max_unpacked_bytes))
    elif raw[:4] == _ZSTD:
        raw = _unzstd(raw, _limit(len(raw), max_unpacked_bytes))
    elif len(raw) > max_unpacked_bytes:
        raise BadPayload(RejectReason.TOO_LARGE, f"{len(raw)} bytes, at most {max_unpacked_bytes} are taken")
    if _is_json(raw):
        return json_to_protobuf(raw, signal)
    return raw


def _is_json(raw: bytes) -> bool:
    """Tell JSON from protobuf by its first byte; an OTLP request starts with 0x0a, which is also a newline."""
    if raw[:1] == b"{" or raw[:3] == _BOM:
        return True
    if raw[:1] not in (b" ", b"\t", b"\r", b"\n"):
        return False
    if raw[:_GLANCE_BYTES].lstrip()[:1] not in (b"{", b""):
        return False  # told without a copy of it all
    text = raw.strip()
    return text[:1] == b"{" and text[-1:] == b"}" and text[1:].lstrip()[:1] in (b'"', b"}")


def _limit(packed_bytes: int, max_unpacked_bytes: int) -> int:
    return min(max_unpacked_bytes, MAX_RATIO * packed_bytes)


def _too_large(packed_bytes: int, limit: int) -> BadPayload:
    return BadPayload(RejectReason.TOO_LARGE, f"{packed_bytes} packed bytes unpack to more than {limit}")


def _one_more(members: int) -> int:
    if members >= MAX_MEMBERS:
        raise BadPayload(RejectReason.TOO_LARGE, f"packed in more than {MAX_MEMBERS} pieces")
    return members + 1


def _gunzip(raw: bytes, limit: int) -> bytes:
    """Unpack gzip, also of several members (RFC 1952)."""
    unpacked, rest, members = bytearray(), raw, 0
    try:
        while rest:
            members = _one_more(members)
            member = zlib.decompressobj(wbits=31)
            unpacked += member.decompress(rest, limit + 1 - len(unpacked))
            if len(unpacked) > limit:
                raise _too_large(len(raw), limit)
            if not member.eof:
                raise BadPayload(RejectReason.DECODE, "truncated gzip")
            rest = member.unused_data
    except zlib.error:
        raise BadPayload(RejectReason.DECODE, "broken gzip") from None
    return bytes(unpacked)


def _unzstd(raw: bytes, limit: int) -> bytes:
    """Unpack zstd, also of several frames (RFC 8878), a few input bytes at a time.

    A block of four bytes can stand for 128 KiB; small steps keep what one of them can make below 8 MiB.
    """
    unpacked, rest, frames = bytearray(), memoryview(raw), 0
    try:
        while rest:
            frames = _one_more(frames)
            frame = zstandard.ZstdDecompressor(max_window_size=MAX_UNPACKED_BYTES).decompressobj()
            while rest and not frame.eof:
                unpacked += frame.decompress(rest[:_ZSTD_STEP_BYTES])
                rest = rest[_ZSTD_STEP_BYTES:]
                if len(unpacked) > limit:
                    raise _too_large(len(raw), limit)
            if not frame.eof:
                raise BadPayload(RejectReason.DECODE, "truncated zstd")
            rest = memoryview(frame.unused_data + bytes(rest))
    except zstandard.ZstdError:
        raise BadPayload(RejectReason.DECODE, "broken zstd") from None
    return bytes(unpacked)
