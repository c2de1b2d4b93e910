"""Partials: merging is associative and commutative, the codec is faithful, a version replaces only what it covers."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.health import ConnectionType, NodeKind
from streams.contents import (
    SEVERITIES,
    EdgeTally,
    OperationTally,
    PaneContents,
    PartTally,
    PassageTally,
    Samples,
    SignatureTally,
    first_by_id,
    merge_contents,
    slowest,
)
from streams.partials import ServicePartial
from streams.signatures.marks import Marks

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long drawing takes says something about the machine alone."""

COUNTS = st.integers(0, 1000)
BINS = st.dictionaries(st.integers(0, 8160), st.integers(1, 1000), max_size=4)
TALLIES = st.builds(OperationTally, COUNTS, COUNTS, BINS, BINS)
EDGES = st.builds(EdgeTally, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, BINS, BINS, BINS)
FEW = st.integers(1, 9)
PASSAGES = st.builds(PassageTally, FEW, FEW, FEW, st.dictionaries(FEW, FEW, max_size=2))
EDGE_KEYS = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(NodeKind).map(lambda kind: kind.value),
    st.sampled_from(ConnectionType).map(lambda connection: connection.value),
)
SPANS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([bytes([n]) * 16 for n in range(5)])), max_size=6)


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """Draw samples as a fold chooses them."""
    return Samples(slowest(draw(SPANS)), first_by_id(draw(SPANS), 2), first_by_id(draw(SPANS), 1))


MARKS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 60), max_size=60).map(Marks.of)
SIGNATURES = st.builds(
    SignatureTally,
    COUNTS,
    st.integers(0, 6),
    st.none() | st.tuples(st.integers(0, 9), st.sampled_from("xyz"), st.sampled_from([b"", bytes(16)])),
    MARKS,
    MARKS,
)

CONTENTS = st.builds(
    PaneContents,
    operations=st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), TALLIES, max_size=3),
    edges=st.dictionaries(EDGE_KEYS, EDGES, max_size=3),
    log_severities=st.dictionaries(st.sampled_from(SEVERITIES), st.integers(1, 100)),
    samples=samples(),
    late_items=COUNTS,
    passages=st.dictionaries(st.sampled_from("ab"), PASSAGES, max_size=1),
    instances=st.dictionaries(st.sampled_from("ab"), st.builds(PartTally, COUNTS, COUNTS, BINS), max_size=2),
    signatures=st.dictionaries(
        st.tuples(st.sampled_from(("log", "exception")), st.sampled_from("abc")), SIGNATURES, max_size=3
    ),
)


@UNHURRIED
@given(st.lists(CONTENTS, max_size=4), st.randoms())
def test_merging_is_commutative(parts: list[PaneContents], random: Random) -> None:
    """The order of the sources does not matter."""
    shuffled = parts.copy()
    random.shuffle(shuffled)
    assert merge_contents(parts) == merge_contents(shuffled)


@UNHURRIED
@given(CONTENTS, CONTENTS, CONTENTS)
def test_merging_is_associative(first: PaneContents, second: PaneContents, third: PaneContents) -> None:
    """Nor does it matter what is merged first."""
    left = merge_contents([merge_contents([first, second]), third])
    assert left == merge_contents([first, merge_contents([second, third])])


@UNHURRIED
@given(CONTENTS, CONTENTS)
def test_merging_leaves_its_parts_alone(first: PaneContents, second: PaneContents) -> None:
    """A merge shares nothing with what it was made of."""
    before = second.copy()
    merged = merge_contents([first, second])
    merged.add(first)
    assert second == before


@UNHURRIED
@given(CONTENTS, st.booleans(), st.sampled_from(NodeKind))
def test_the_codec_is_faithful(contents: PaneContents, driven: bool, kind: NodeKind) -> None:
    """What is read is what was written."""
    partial = ServicePartial("acme", "cart", kind, 1_700_000_000 * 10**9, "otel.traces/3", 4, 9, contents, driven)
    assert ServicePartial.decode(partial.encode()) == partial


@UNHURRIED
@given(st.tuples(COUNTS, COUNTS), st.tuples(COUNTS, COUNTS))
def test_a_version_replaces_only_what_it_covers(old: tuple[int, int], new: tuple[int, int]) -> None:
    """It must reach further and not start later."""
    older, newer = (
        ServicePartial("acme", "cart", NodeKind.SERVICE, 0, "otel.traces/0", first, last, PaneContents())
        for first, last in (old, new)
    )
    assert newer.replaces(older) == (new[1] > old[1] and new[0] <= old[0])
