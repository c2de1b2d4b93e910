"""A batch of any codec is unpacked within a bound, and what cannot be unpacked stands for itself."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.record._crecords import default_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from schemas.errors import RejectReason
from schemas.topics import STUBS, TRACES
from sinks.kafka import connection, unpacking
from sinks.kafka.unpacking import BatchTooLargeError, RefusedBatch

CODECS: dict[str, tuple[int, Callable[[bytes], Any], Callable[[bytes], bytes]]] = {
    "gzip": (1, codec.gzip_encode, unpacking.unpack_gzip),
    "snappy": (2, codec.snappy_encode, unpacking.unpack_snappy),
    "lz4": (3, codec.lz4_encode, unpacking.unpack_lz4),
    "zstd": (4, codec.zstd_encode, unpacking.unpack_zstd),
}
"""By name: the number in a batch (KIP-98), what packs, what unpacks."""
BOMB = bytes(unpacking.MOST_BATCH_BYTES + 1)
assert connection  # which lets consumers unpack within the bound


def batch(first: int, values: list[bytes], codec_number: int) -> bytes:
    """Return a batch with these values."""
    builder = DefaultRecordBatchBuilder(2, codec_number, 0, -1, -1, -1, 1 << 28)
    for place, value in enumerate(values):
        builder.append(place, 1_000 + place, None, value, [])
    made = bytearray(builder.build())
    made[:8] = first.to_bytes(8, "big")  # not under the checksum
    return bytes(made)


def records_of(topic: str, *batches: bytes) -> list[Any]:
    """Return the records of a fetch."""
    place = TopicPartition(topic, 0)
    return list(fetcher.PartitionRecords(place, MemoryRecords(b"".join(batches)), None, 0, None, None, True, 0))


@pytest.mark.parametrize("name", CODECS)
def test_sound_data_is_unpacked_and_a_bomb_is_refused(name: str) -> None:
    """Up to the bound, and not a byte more."""
    _, pack, unpack = CODECS[name]
    sound = random.Random(1).randbytes(1_000) * 900
    assert unpack(bytes(pack(sound))) == sound
    assert len(unpack(bytes(pack(BOMB[1:])))) == unpacking.MOST_BATCH_BYTES
    with pytest.raises(BatchTooLargeError):
        unpack(bytes(pack(BOMB)))


def test_frames_of_zstd_that_do_not_tell_their_size_and_several_of_them_are_bounded_too() -> None:
    """A producer that streams does not know the size when it begins."""
    packer = zstandard.ZstdCompressor()
    streamed = io.BytesIO()
    with packer.stream_writer(streamed, closefd=False) as writer:
        writer.write(BOMB)
    with pytest.raises(BatchTooLargeError):
        unpacking.unpack_zstd(streamed.getvalue())
    with pytest.raises(BatchTooLargeError):
        unpacking.unpack_zstd(packer.compress(BOMB[1:]) + packer.compress(b"x"))
    assert unpacking.unpack_zstd(packer.compress(b"a") + packer.compress(b"b")) == b"ab"


def test_snappy_without_the_framing_of_xerial_is_unpacked() -> None:
    """librdkafka writes one block."""
    assert unpacking.unpack_snappy(bytes(codec.snappy_encode(b"abc" * 9, xerial_compatible=False))) == b"abc" * 9


@pytest.mark.parametrize("name", CODECS)
def test_a_batch_that_is_too_large_is_one_refused_record_between_its_neighbours(name: str) -> None:
    """It stands at the last offset of its batch, so reading goes on behind it."""
    number = CODECS[name][0]
    found = records_of(
        TRACES.name, batch(0, [b"a", b"b"], number), batch(2, [b"c", BOMB], number), batch(4, [b"d"], number)
    )
    assert [(one.offset, one.value) for one in found] == [(0, b"a"), (1, b"b"), (3, b""), (4, b"d")]
    assert isinstance(found[2].value, RefusedBatch)
    assert found[2].value.refusal.reason is RejectReason.TOO_LARGE


@pytest.mark.parametrize("name", CODECS)
def test_a_damaged_batch_is_refused_whatever_is_wrong_with_it(name: str) -> None:
    """The checksum can be right: whoever wrote the damage made it."""
    number = CODECS[name][0]
    sound = batch(0, [random.Random(1).randbytes(3_000), b"b"], number)
    chance = random.Random(2)
    for _ in range(200):
        damaged = bytearray(sound)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(61, len(damaged))] ^= 1 << chance.randrange(8)
        damaged[17:21] = calc_crc32c(bytes(damaged[21:])).to_bytes(4, "big")
        found = records_of(TRACES.name, bytes(damaged), batch(2, [b"c"], number))
        assert found[-1].value == b"c"
        assert [one.offset for one in found[:-1]] in ([0, 1], [1])


def test_a_batch_for_which_there_is_no_memory_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be sound, and its letter could not be replayed: it is read again."""

    def starved(_packed: bytes) -> bytes:
        raise MemoryError

    monkeypatch.setattr(default_records, "zstd_decode", starved)
    with pytest.raises(MemoryError):
        records_of(TRACES.name, batch(0, [b"a"], 4))


def test_of_our_own_topics_what_cannot_be_unpacked_is_an_error() -> None:
    """Nobody else writes them, and no reader of them knows what to do with half of a batch."""
    with pytest.raises(BatchTooLargeError):
        records_of(STUBS.name, batch(0, [BOMB], 4))
