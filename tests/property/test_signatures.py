"""Signatures: whatever the disorder, the partitions and the batches, every line is counted once."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_logs import MadeLog, logs_payload
from made_spans import START_NS

from streams.contents import SEVERITIES, PaneContents, SignatureTally
from streams.otlp import decode_logs
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.progress import SourceClock
from streams.signatures.masking import sample_of, shape_of
from streams.signatures.templates import TemplateConfig, TemplateTree
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
UNHURRIED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.sampled_from(("paid", "refused", "7", "a1b2c3d4e5", "10.0.0.1", "by", "bank"))
LINES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
RECORDS = st.lists(
    st.builds(
        MadeLog,
        st.sampled_from(("pay", "cart")),
        st.integers(0, 25_000).map(lambda ms: START_NS + ms * 1_000_000),
        LINES,
        st.sampled_from((9, 13, 17)),
        st.integers(0, 3),
    ),
    max_size=12,
)
Counted = dict[tuple[str, int], dict[tuple[str, str], SignatureTally]]


def counted(records: list[MadeLog]) -> Counted:
    """Count the lines one by one."""
    found: Counted = {}
    for one in records:
        if one.severity < 13:
            continue
        home = found.setdefault((one.service, CONFIG.pane_of(one.time_ns)), {})
        trace_id = one.trace.to_bytes(16, "big") if one.trace else b""
        seen = SignatureTally(1, (one.severity + 3) // 4, (one.time_ns, sample_of(one.body), trace_id))
        home.setdefault(("log", shape_of(one.body)), SignatureTally()).add(seen)
    return found


def folded(batches: list[list[MadeLog]], partitions: int, flush_every: int) -> Counted:
    """Run the batches through a fold a partition, and merge the latest partial of each."""
    latest: dict[tuple[str, int, int], ServicePartial] = {}
    folds = [(PaneFold(f"otel.logs/{p}", CONFIG), SourceClock(f"otel.logs/{p}")) for p in range(partitions)]
    for number, batch in enumerate(batches):
        fold, clock = folds[number % partitions]
        at_ns = START_NS + 30 * SECOND_NS + number * 1_000_000
        fold.step_logs("acme", decode_logs(logs_payload(batch)), at_ns, number)
        clock.observe(at_ns)
        if number % flush_every == 0:
            for partial in fold.flush():
                latest[partial.service, partial.pane_start_ns, number % partitions] = partial
    for p, (fold, _) in enumerate(folds):
        for partial in fold.flush():
            latest[partial.service, partial.pane_start_ns, p] = partial
    merged: dict[tuple[str, int], PaneContents] = {}
    for (service, pane_ns, _), partial in latest.items():
        contents = ServicePartial.decode(partial.encode()).contents
        merged.setdefault((service, pane_ns), PaneContents()).add(contents)
    return {home: contents.signatures for home, contents in merged.items() if contents.signatures}


@UNHURRIED
@given(RECORDS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.randoms())
def test_every_line_is_counted_once(records: list[MadeLog], partitions: int, every: int, size: int, random) -> None:  # type: ignore[no-untyped-def]
    """Like counting them one by one, in any order."""
    shuffled = records.copy()
    random.shuffle(shuffled)
    batches = [shuffled[at : at + size] for at in range(0, len(shuffled), size)]
    assert folded(batches, partitions, every) == counted(records)
    assert all(tally.severity < len(SEVERITIES) for home in counted(records).values() for tally in home.values())


@UNHURRIED
@given(st.lists(st.sets(LINES.map(shape_of), max_size=4), max_size=6), st.data())
def test_a_tree_read_again_from_any_pane_on_is_the_same(panes: list[set[str]], data: st.DataObject) -> None:
    """What is saved may be ahead of the floor by as much as it likes."""
    tree = TemplateTree()
    for number, pane in enumerate(panes):
        tree.learn([("log", shape) for shape in pane], number)
    again = TemplateTree.unpacked(tree.packed())
    first = data.draw(st.integers(0, len(panes)))
    for number, pane in enumerate(panes[first:], first):
        again.learn([("log", shape) for shape in pane], number)
    assert again.packed() == tree.packed()
    assert not again.is_changed


@UNHURRIED
@given(st.lists(LINES.map(shape_of), max_size=30), st.integers(1, 5))
def test_every_line_that_was_just_learned_has_a_template_that_covers_it(shapes: list[str], most: int) -> None:
    """Also when others have to make room."""
    tree = TemplateTree(TemplateConfig(max_templates=most))
    for number, shape in enumerate(shapes):
        tree.learn([("log", shape)], number)
        template = tree.template_of(("log", shape))
        assert template is not None
        assert all(a in ("<*>", b) for a, b in zip(template.words, shape.split(" "), strict=True))
        assert len(tree) <= most
