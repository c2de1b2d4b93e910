"""Hash ids column-wise: the 64-bit finalizer of SplitMix64 (Steele, Lea, Flood: OOPSLA 2014)."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import IS_COMPILED
from streams.kernels.hashing import hash_spans

Hashes = NDArray[np.uint64]

_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)


def mix(values: Hashes) -> Hashes:
    """Return a well-mixed hash of each value (a bijection)."""
    mixed = (values ^ (values >> np.uint64(30))) * _ONE
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _TWO
    return mixed ^ (mixed >> np.uint64(31))


def trace_keys(tenant: str, trace_hi: Hashes, trace_lo: Hashes) -> Hashes:
    """Return one key per trace; the same trace id of two tenants has different keys."""
    salt = np.array([tenant_salt(tenant)], dtype=np.uint64)
    return mix(mix(trace_hi ^ salt) + trace_lo)


def tenant_salt(tenant: str) -> int:
    """Return a number that is a tenant's own, the same in every process."""
    return int.from_bytes(blake2b(tenant.encode(), digest_size=8).digest(), "little")


def span_keys(trace_key: Hashes, span_id: Hashes) -> Hashes:
    """Return one key per span of a trace."""
    return mix(trace_key ^ mix(span_id))


class SpanHashes(NamedTuple):
    """The keys of spans; a root's parent is 0."""

    trace: Hashes
    span: Hashes
    parent: Hashes


def hashes_of(
    tenant: str,
    trace_hi: Hashes,
    trace_lo: Hashes,
    span_id: Hashes,
    parent_id: Hashes,
    is_compiled: bool = IS_COMPILED,
) -> SpanHashes:
    """Return the keys of the spans of one tenant."""
    if is_compiled:
        hashes = SpanHashes(*(np.empty(len(span_id), dtype=np.uint64) for _ in SpanHashes._fields))
        hash_spans(np.uint64(tenant_salt(tenant)), trace_hi, trace_lo, span_id, parent_id, *hashes)
        return hashes
    trace = trace_keys(tenant, trace_hi, trace_lo)
    parent = np.where(parent_id == 0, np.uint64(0), span_keys(trace, parent_id))
    return SpanHashes(trace, span_keys(trace, span_id), parent)
