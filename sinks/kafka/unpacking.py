"""Record batches are unpacked within a bound, and one that cannot be is passed over by name.

::

    fetched ──▶ batch ──▶ codec, at most MOST_BATCH_BYTES ──▶ its records
                            └─ larger, or damaged ──▶ one record in place of its last, whose value is a `RefusedBatch`

aiokafka unpacks whatever a batch brings, before anybody sees a record: a megabyte of zstd can be gigabytes, and what
cannot be unpacked ends the consumer. Of topics that others write to, ingest makes a dead letter of the batch; the
offsets before its last are missing by name. A batch of our own topics that cannot be unpacked is an error, as ever.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import aiokafka.consumer.fetcher as fetcher
import cramjam
import numpy as np
import zstandard
from aiokafka.record._crecords import default_records, legacy_records

from schemas.errors import BadPayload, RejectReason
from schemas.topics import RAW_TOPICS

MOST_BATCH_BYTES: Final = 64 << 20
"""Of a batch when it is unpacked. A producer's batch is a megabyte as a rule, before it is packed."""

_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


class RefusedBatch(bytes):
    """The value of the record that stands for a batch which could not be unpacked: no bytes, and why."""

    refusal: BadPayload


class BatchTooLargeError(ValueError):
    """A batch that would be larger than `MOST_BATCH_BYTES`."""


def unpack_gzip(packed: bytes) -> bytes:
    """Return what is packed (RFC 1952). Raises `BatchTooLargeError`, and others for damage."""
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as reader:
        return _within(reader.read(MOST_BATCH_BYTES + 1))


def unpack_zstd(packed: bytes) -> bytes:
    """Return what is packed (RFC 8878), of one frame as producers write it, or of several."""
    if zstandard.frame_content_size(packed) > MOST_BATCH_BYTES:
        raise BatchTooLargeError
    try:
        return zstandard.ZstdDecompressor().decompress(packed, MOST_BATCH_BYTES, allow_extra_data=False)
    except zstandard.ZstdError:
        return _into_room(cramjam.zstd.decompress_into, packed)


def unpack_lz4(packed: bytes) -> bytes:
    """Return what is packed (the LZ4 frame format)."""
    return _into_room(cramjam.lz4.decompress_into, packed)


def unpack_snappy(packed: bytes) -> bytes:
    """Return what is packed: one block of snappy, or several as the xerial library frames them."""
    blocks = list(_xerial_blocks(packed)) if packed.startswith(_XERIAL) else [packed]
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > MOST_BATCH_BYTES:
        raise BatchTooLargeError
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _xerial_blocks(packed: bytes) -> Iterator[bytes]:
    at = _XERIAL_HEADER_BYTES
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


def _into_room(unpack_into: Callable[[bytes, Any], int], packed: bytes) -> bytes:
    """Unpack into a buffer of which only what is written takes memory."""
    room = np.empty(MOST_BATCH_BYTES + 1, np.uint8)
    try:
        return _within(room[: unpack_into(packed, room)].tobytes())
    except cramjam.DecompressionError as error:
        if "write" in str(error):  # std::io::Error: failed to write whole buffer
            raise BatchTooLargeError from error
        raise


def _within(unpacked: bytes) -> bytes:
    if len(unpacked) > MOST_BATCH_BYTES:
        raise BatchTooLargeError
    return unpacked


class _Batches:
    """aiokafka's ``MemoryRecords``, whose batches raise nothing when they are read."""

    def __init__(self, records: Any) -> None:
        self._records = records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def next_batch(self) -> _Batch:
        """Return the next batch."""
        return _Batch(self._records.next_batch())


class _Batch:
    """A batch of aiokafka's that ends with a refused record where it cannot be read on."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except MemoryError:  # says nothing about the batch: it is read again
            raise
        except Exception as error:  # damage has many names: the codecs', aiokafka's, those of wrong lengths
            yield _refused(self._batch, error)


def _refused(batch: Any, error: Exception) -> Any:
    value = RefusedBatch()
    last, name = batch.next_offset - 1, type(error).__name__
    if isinstance(error, BatchTooLargeError):
        detail = f"a batch up to offset {last} has more than {MOST_BATCH_BYTES} bytes unpacked"
        value.refusal = BadPayload(RejectReason.TOO_LARGE, detail)
    else:
        value.refusal = BadPayload(RejectReason.DECODE, f"a batch up to offset {last} cannot be unpacked: {name}")
    return SimpleNamespace(
        offset=last, timestamp=getattr(batch, "max_timestamp", None), timestamp_type=batch.timestamp_type, key=None,
        value=value, checksum=None, headers=(),
    )  # fmt: skip


class BoundedRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # has no types
    """aiokafka's records of a fetch, of which those of raw topics cannot stop a worker."""

    def __init__(self, tp: Any, records: Any, *arguments: Any) -> None:
        super().__init__(tp, _Batches(records) if tp.topic in _RAW else records, *arguments)


_RAW = frozenset(topic.name for topic in RAW_TOPICS)


def bound_batches() -> None:
    """Let every consumer of this process unpack within the bound.

    Overridden internals of aiokafka 0.14: its codecs where batches are read, and what the fetcher keeps records in.
    """
    for module in (default_records, legacy_records):
        module.gzip_decode, module.snappy_decode = unpack_gzip, unpack_snappy
        module.lz4_decode = unpack_lz4
    default_records.zstd_decode = unpack_zstd
    fetcher.PartitionRecords = BoundedRecords
