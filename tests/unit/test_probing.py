"""Whose fault it is: a good request is tried, and only when that is refused is it ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from schemas.errors import StoreRejected, StoreUnavailable
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.clickhouse.landing import RawRow
from streams.diversion import DiversionLimits
from streams.otlp import Signal
from streams.otlp.specimen import specimen
from topologies.diverting import Diverting, DivertingError
from topologies.probing import Probe
from topologies.source_folds import decoder_of, takes_all

AT_NS = 1_790_000_000_000_000_000


@dataclass
class Tried:
    """A sink that is tried out, and what it does then, one after the other."""

    outcomes: list[Exception | None] = field(default_factory=list)
    rows: list[RawRow] = field(default_factory=list)

    async def try_out(self, topic: str, rows: Sequence[RawRow]) -> None:
        """Take the rows or raise."""
        self.rows.append(rows[0])
        if self.outcomes and (outcome := self.outcomes.pop(0)) is not None:
            raise outcome


async def is_decoded(_payload: bytes) -> bool:
    """Decode all of it."""
    return True


async def is_refused(_payload: bytes) -> bool:
    """Decode none of it."""
    return False


def yes() -> bool:
    """Say that the partitions are still ours."""
    return True


def probe(sink: Tried, every_s: float = 0.0) -> Probe:
    """Return a probe of traces."""
    return Probe(TRACES.name, Signal.TRACES, sink, is_decoded, every_s=every_s)


def bad(tenants: Sequence[str]) -> list[tuple[str, bool]]:
    """Return what became of three bad records of each tenant."""
    return [(tenant, True) for tenant in tenants for _ in range(3)]


def diverting(sink: Tried) -> Diverting:
    """Return limits that two bad records of a tenant reach."""
    return Diverting(TRACES.name, DiversionLimits(in_a_row=2), probe(sink))


async def test_no_number_of_bad_tenants_stops_a_worker_that_takes_what_is_good() -> None:
    """Two of three, all there are, or one alone."""
    sink = Tried()
    for tenants in (["a", "b"], ["a", "b", "c"], ["a"]):
        await diverting(sink).judge([*bad(tenants), ("good", False)][: 3 * len(tenants)], yes)
    assert len(sink.rows) == 3


async def test_nothing_is_tried_while_nothing_is_refused() -> None:
    """What was refused long ago stays suspicious until something better comes, and there may be only ticks."""
    sink = Tried()
    limits = diverting(sink)
    await limits.judge(bad(["a"]), yes)
    await limits.judge([], yes)
    await limits.judge([("b", False)], yes)
    assert len(sink.rows) == 1


async def test_a_worker_that_refuses_what_is_good_stops() -> None:
    """The decoder, or the store, which may be away for a moment first."""
    with pytest.raises(DivertingError, match="good request"):
        await diverting(Tried([StoreUnavailable("away"), StoreRejected("cannot parse")])).judge(bad(["a"]), yes)
    limits, broken = DiversionLimits(in_a_row=2), Probe(TRACES.name, Signal.TRACES, Tried(), is_refused)
    with pytest.raises(DivertingError):
        await Diverting(TRACES.name, limits, broken).judge(bad(["a"]), yes)


async def test_a_probe_that_passed_holds_for_a_while_and_one_that_did_not_does_not() -> None:
    """It costs two inserts."""
    sink = Tried()
    seldom = probe(sink, every_s=3600)
    assert [await seldom.passes(yes, "") for _ in range(3)] == [True] * 3
    assert len(sink.rows) == 1
    sink = Tried([StoreRejected("no"), None])
    seldom = probe(sink, every_s=3600)
    assert [await seldom.passes(yes, "") for _ in range(3)] == [False, True, True]
    assert len(sink.rows) == 2


@pytest.mark.parametrize("signal", Signal)
def test_specimens_are_taken_by_the_decoders_and_rubbish_is_not(signal: Signal) -> None:
    """All of their items."""
    decoder = decoder_of(signal, Settings())
    assert takes_all(decoder, signal, specimen(signal, AT_NS))
    assert takes_all(decoder, signal, specimen(signal, AT_NS, is_plain=True))
    assert not takes_all(decoder, signal, b"\xff")
    assert not takes_all(decoder, signal, b"")
