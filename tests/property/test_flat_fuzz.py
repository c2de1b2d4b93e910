"""Mutated payloads through the compiled flattening: no byte read outside of them, none written outside of its room.

That what is flattened is stored as SQL would have stored it is shown with ClickHouse, in
``tests/integration/clickhouse/test_flat_rows.py``. ``FUZZ_PAYLOADS`` and ``FUZZ_SEED`` as in ``test_walker_fuzz.py``;
run with ``NUMBA_BOUNDSCHECK=1`` too.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from children import with_tests
from fenced import Fence
from made_requests import FLATTENERS, MAKERS
from mutating import mutations
from odd_messages import ODD, SOUND

from streams.flat_columns import SIGNALS
from streams.kernels.compiled import IS_COMPILED
from streams.kernels.flattening import flatten, make_scratch
from streams.kernels.sheets import make_sheet

PAYLOADS = int(os.environ.get("FUZZ_PAYLOADS", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
MOST_BYTES = 4_000
TIGHT_BYTES, WIDE_BYTES, BEHIND_BYTES = 600, 200_000, 64

pytestmark = pytest.mark.skipif(not IS_COMPILED or sys.platform == "win32", reason="nothing is compiled here")


def payloads(topic: str) -> Iterator[bytes]:
    """Yield messages with one thing that is odd, and mutations of requests that are flattened."""
    chance, flattener = random.Random(5), FLATTENERS[topic]
    made = [one for one in (MAKERS[topic](chance) for _ in range(600)) if len(one) < MOST_BYTES]
    sound = [one for one, rows in zip(made, flattener.flatten(made).rows, strict=True) if rows]
    yield from (*ODD[topic].values(), *SOUND[topic].values())
    yield from mutations(sound, SEED, PAYLOADS // len(MAKERS))


def test_no_byte_outside_of_a_payload_is_read_and_none_outside_of_its_room_written() -> None:
    """In a process of its own, which a read outside would end."""
    child = subprocess.run([sys.executable, __file__], env=with_tests(dict(os.environ)), capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout.split()[0]) >= PAYLOADS // len(MAKERS)


def flatten_fenced(topic: str) -> int:
    """Flatten payloads between fences into little room and much; return how many."""
    fence, scratch, rows, done = Fence(), make_scratch(), np.zeros(1, np.int64), 0
    signal, regions, _ = SIGNALS[topic]
    for payload in payloads(topic):
        bounds, made = np.array([0, len(payload)]), []
        for place, room in ((fence.at_the_end, TIGHT_BYTES), (fence.at_the_beginning, WIDE_BYTES)):
            sheet = make_sheet(np.full(regions, room), scratch.shared.keys)
            sheet = sheet._replace(room=np.full(len(sheet.room) + BEHIND_BYTES, 0xA5, np.uint8))
            flatten(place(payload), bounds, 0, signal, sheet, scratch, rows)
            assert (sheet.used <= sheet.limits).all()
            assert (sheet.room[-BEHIND_BYTES:] == 0xA5).all()
            assert rows[0] or (sheet.items == 0).all()
            begins = sheet.limits - room
            if rows[0]:
                made.append([sheet.room[begin:end].tobytes() for begin, end in zip(begins, sheet.used, strict=True)])
        assert made[1:] in ([], made[:1])  # no column is written into the one behind it
        done += 1
    return done


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(sum(flatten_fenced(topic) for topic in MAKERS), "payloads")  # noqa: T201  # how it reports to the test
