"""Tell the events of a span apart by their names, without reading what is in them."""

from __future__ import annotations

import numpy as np

from streams.kernels.compiled import compiled
from streams.kernels.wire import GROUP_MET, big_endian, byte_at, read_size, read_tag, skip_value

_NAME = 0x12
_EXCEPTI, _ON = np.uint64(int.from_bytes(b"exceptio", "big")), ord("n")


@compiled
def may_be_exception(data, at, end):
    """Tell whether an ``Event`` has the name "exception"; also when only the reference decoder can tell."""
    while at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag == _NAME:
            begin, at = read_size(data, at, end)
            if at - begin == 9 and big_endian(data, begin) == _EXCEPTI and byte_at(data, begin + 8) == _ON:
                return True
        elif at >= 0:
            at = skip_value(data, at, end, tag)
        if at < 0:
            return at == GROUP_MET
    return False
