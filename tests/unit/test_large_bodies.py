"""Large bodies at the front door are opened one at a time, and small ones beside them."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import asyncio, resource
from api.otlp.answers import PROTOBUF
from api.otlp.receiving import Body, Receiver
from api.otlp.signals import TRACES_SIGNAL
from tests.unit.test_crowding import field, in_scope

class Nobody:
    async def send_many(self, messages):
        return []

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

links = Body(in_scope(field(0x12, b"\\x6a\\x00" * 1_500_000)), PROTOBUF.encode(), b"")
assert len(links.content) > 2 * 1024 * 1024
receiver, before = Receiver(), peak_mib()
asyncio.run(receiver.receive(links, "acme", TRACES_SIGNAL, Nobody()))
alone = peak_mib() - before

async def together():
    receiver = Receiver()
    await asyncio.gather(*(receiver.receive(links, "acme", TRACES_SIGNAL, Nobody()) for _ in range(4)))

for _ in range(3):
    asyncio.run(together())
print(alone, peak_mib() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the peak is in other units")
def test_four_large_bodies_at_once_take_little_more_memory_than_one() -> None:
    """Three megabytes of empty links unfold to some 270 MiB; four such bodies at once took four times that."""
    # A process inherits the peak of whoever started it: a shell in between has none to speak of.
    argv = ["/bin/sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, CHILD]
    child = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    alone_mib, together_mib = map(int, child.stdout.split())
    assert alone_mib > 80
    assert together_mib < 2.2 * alone_mib
