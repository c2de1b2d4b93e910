"""The buffer between the consumer and a stage: bounded in messages, as Faust's is, and in bytes.

::

    consumer ──▶ BoundedQueue ──▶ stage        0.8 of a bound: the partition is not fetched any more
                                               0.4: it is fetched again
                                               twice the bytes: the consumer waits (what it had fetched is in)

A hundred records are 100 kB or 400 MiB, as the producers like it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mode.utils.queues import ThrowableQueue

from topologies.parcels import size_of

HIGH = 0.8
LOW = 0.4


class BoundedQueue(ThrowableQueue[Any]):
    """Faust's queue of events, which also knows how many bytes of values it holds."""

    def __init__(self, *args: Any, limit_bytes: int, **kwargs: Any) -> None:
        self._limit_bytes = limit_bytes
        self.size_bytes = 0
        super().__init__(*args, **kwargs)

    def full(self) -> bool:
        """Tell whether a put has to wait."""
        return super().full() or self.size_bytes >= 2 * self._limit_bytes

    def clear(self) -> None:
        """Forget all events, as a rebalance does."""
        super().clear()
        self.size_bytes = 0

    def in_pressure_high_state(self, callback: Callable[..., Any]) -> bool:
        """Tell, once for each ``callback`` until pressure has dropped, that it is high."""
        pending = self._pending_pressure_drop_callbacks
        if callback in pending or self._fill() < HIGH:
            return False
        pending.add(callback)
        return True

    def maybe_endorse_pressure_drop(self) -> None:
        """Let what was held back be fetched again, once there is room."""
        if self._fill() <= LOW:
            while self._pending_pressure_drop_callbacks:
                self._pending_pressure_drop_callbacks.pop()()

    def _fill(self) -> float:
        return max(self.qsize() / self.maxsize if self.maxsize else 0.0, self.size_bytes / self._limit_bytes)

    def _put(self, item: Any) -> None:
        super()._put(item)
        self.size_bytes += _size_bytes(item)

    def _get(self) -> Any:
        item = super()._get()
        self.size_bytes -= _size_bytes(item)
        return item


def _size_bytes(item: Any) -> int:
    message = getattr(item, "message", None)
    return size_of(message)[1] if message is not None else 0
