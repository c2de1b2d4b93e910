"""What waits to be stored: for how long, and how much of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from topologies.collecting import PAUSE, Collecting, Room, pause_s

HOUR_S = 3600.0


@dataclass(frozen=True)
class Parcel:
    """Something that takes room."""

    size_bytes: int
    records: int = 1


def after_an_insert(room: Room) -> Collecting[Parcel]:
    """Return an empty one, right after an insert: the next has to wait for ``room.wait_s`` or a multiple of hours."""
    waiting: Collecting[Parcel] = Collecting(room)
    waiting.took(time.monotonic() - 1e-3 if room.wait_s < HOUR_S else time.monotonic() - HOUR_S)
    return waiting


async def settled(task: asyncio.Task[object]) -> bool:
    """Tell whether a task is done once everything that can run has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


@pytest.mark.parametrize("room", [Room(99, 100, HOUR_S), Room(2, 10_000, HOUR_S)], ids=["bytes", "records"])
async def test_who_finds_no_room_waits_until_what_is_there_is_taken(room: Room) -> None:
    """So memory does not grow while a store is away."""
    waiting = after_an_insert(room)
    await waiting.put([Parcel(40), Parcel(40)])
    third = asyncio.create_task(waiting.put([Parcel(40)]))
    assert not await settled(third)
    assert waiting.take() == [Parcel(40), Parcel(40)]
    await third
    assert waiting.take() == [Parcel(40)]


async def test_what_waits_is_told_once_nothing_can_be_added() -> None:
    """The next insert can be made ready: it will be just that."""
    told: list[list[Parcel]] = []
    waiting: Collecting[Parcel] = Collecting(Room(9, 100, HOUR_S), lambda items: told.append(list(items)))
    await waiting.put([Parcel(70)])
    assert not told
    held_back = asyncio.create_task(waiting.put([Parcel(60)]))
    assert not await settled(held_back)
    assert told == [waiting.take()]
    await held_back


async def test_one_batch_that_is_larger_than_the_room_waits_alone() -> None:
    """It has to go through, too."""
    waiting = after_an_insert(Room(9, 100, HOUR_S))
    await waiting.put([Parcel(70), Parcel(70)])
    assert waiting.take() == [Parcel(70), Parcel(70)]


async def test_an_insert_is_due_as_soon_as_somebody_is_held_back() -> None:
    """Enough is waiting, so the pause of hours is of no use."""
    waiting = after_an_insert(Room(9, 100, 100 * HOUR_S))
    await waiting.put([Parcel(70)])
    due = asyncio.create_task(waiting.due())
    assert not await settled(due)
    held_back = asyncio.create_task(waiting.put([Parcel(70)]))
    assert await due
    waiting.take()
    await held_back


async def test_what_waits_is_due_after_the_pause_although_nothing_more_comes() -> None:
    """The last record of the day is stored today."""
    waiting = after_an_insert(Room(9, 100, 0.05))
    await waiting.put([Parcel(1)])
    async with asyncio.timeout(60):
        assert await waiting.due()


async def test_nothing_is_due_when_nothing_waits() -> None:
    """Whoever stores can end."""
    assert not await Collecting(Room(9, 100, HOUR_S)).due()


def test_inserts_have_a_bounded_share_of_the_time_while_nothing_waits_too_long() -> None:
    """A slow machine inserts less often; how old what waits may be is the operator's to say."""
    assert pause_s(0.1, HOUR_S) == pytest.approx(0.1 * PAUSE)
    assert pause_s(1.0, 5.0) == 5.0
