"""Bytes between pages that must not be touched: a read before their first or behind their last ends the process."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
from numpy.typing import NDArray

PROT_NONE = 0


class Fence:
    """Room for payloads. A ``SIGSEGV`` is the proof that something read outside of one."""

    def __init__(self, pages: int = 64) -> None:
        self._size = pages * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._size + 2 * mmap.PAGESIZE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for page in (self._address, self._address + mmap.PAGESIZE + self._size):
            if protect(page, mmap.PAGESIZE, PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")

    def __len__(self) -> int:
        """How large a payload may be."""
        return self._size

    def at_the_end(self, payload: bytes) -> NDArray[np.uint8]:
        """Return the payload as an array that ends where the fence begins."""
        return self._put(payload, self._size - len(payload))

    def at_the_beginning(self, payload: bytes) -> NDArray[np.uint8]:
        """Return the payload as an array that begins where the fence ends."""
        return self._put(payload, 0)

    def _put(self, payload: bytes, place: int) -> NDArray[np.uint8]:
        room = np.frombuffer(self._map, np.uint8, len(payload), mmap.PAGESIZE + place)
        room[:] = np.frombuffer(payload, np.uint8)
        room.flags.writeable = False  # as of the bytes of a message: what is compiled for those is what is tried
        return room
