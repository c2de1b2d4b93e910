"""Log templates: Drain that is bounded, that survives a restart, and that a replay does not change."""

from __future__ import annotations

from random import Random

from streams.signatures.memory import ServiceMemory
from streams.signatures.templates import TemplateConfig, TemplateTree, signature_id

PANE_NS = 10_000_000_000
LINES = [
    "payment of <n> refused by bank north",
    "payment of <n> refused by bank south",
    "payment of <n> refused by bank west",
    "cache miss for <id> in shard <n>",
    "<time> connection to <address> lost",
]


def keys(*shapes: str) -> list[tuple[str, str]]:
    """Return the shapes as log lines."""
    return [("log", shape) for shape in shapes]


def ids(tree: TemplateTree, *shapes: str) -> list[str]:
    """Return the signature of each shape."""
    found = [tree.template_of(key) for key in keys(*shapes)]
    return [template.signature if template else "" for template in found]


def test_lines_that_differ_in_a_word_share_a_template() -> None:
    """And it says where they differ."""
    tree = TemplateTree()
    tree.learn(keys(*LINES), PANE_NS)
    assert len(tree) == 3
    template = tree.template_of(("log", LINES[0]))
    assert template is not None
    assert template.text == "payment of <n> refused by bank <*>"


def test_a_template_that_becomes_more_general_keeps_its_id() -> None:
    """Its history must not begin anew."""
    tree = TemplateTree()
    tree.learn(keys(LINES[0]), PANE_NS)
    before = ids(tree, LINES[0])
    tree.learn(keys(LINES[1]), 2 * PANE_NS)
    assert ids(tree, LINES[0], LINES[1]) == [*before, *before] == [signature_id(("log", LINES[0]))] * 2


def test_the_order_of_lines_in_a_pane_and_a_replay_change_nothing() -> None:
    """Panes in their order, lines in any; and again from any pane on."""
    panes = [LINES[:2], LINES[2:4], LINES[4:]]
    calm, wild = TemplateTree(), TemplateTree()
    for number, pane in enumerate(panes):
        calm.learn(keys(*pane), number * PANE_NS)
        shuffled = pane.copy()
        Random(number).shuffle(shuffled)
        wild.learn(keys(*shuffled), number * PANE_NS)
    for number, pane in enumerate(panes[1:], 1):
        wild.learn(keys(*pane), number * PANE_NS)
    assert wild.packed() == calm.packed()


def test_the_tree_survives_a_restart() -> None:
    """The same line has the same id, and the template goes on growing where it was."""
    memory = ServiceMemory()
    memory.templates.learn(keys(*LINES[:2]), PANE_NS)
    assert memory.needs_keeping()
    revived = ServiceMemory.decode(memory.encode())
    assert not revived.needs_keeping()
    revived.templates.learn(keys(LINES[2]), 2 * PANE_NS)
    assert ids(revived.templates, LINES[2]) == ids(memory.templates, LINES[0])


def test_a_known_line_is_no_change() -> None:
    """So that nothing is written while nothing new is said."""
    memory = ServiceMemory()
    memory.templates.learn(keys(*LINES), PANE_NS)
    memory.kept()
    memory.templates.learn(keys(*LINES), 99 * PANE_NS)
    assert not memory.needs_keeping()


def test_what_was_not_seen_for_longest_makes_room() -> None:
    """However many kinds of lines a service invents, the tree is bounded."""
    tree = TemplateTree(TemplateConfig(max_templates=10))
    words = ["north", "south", "west", "east", "up", "down"]
    shapes = [f"{a} {b} {a}{b}" for a in words for b in words]
    forgotten = sum(tree.learn(keys(shape), number * PANE_NS) for number, shape in enumerate(shapes))
    assert len(tree) <= 10
    assert forgotten > 0
    assert tree.template_of(("log", shapes[-1])) is not None
    assert tree.template_of(("log", shapes[0])) is None


def test_exceptions_are_told_apart_by_every_frame() -> None:
    """A frame is not a word that may differ."""
    tree = TemplateTree()
    tree.learn([("exception", "KeyError < a.py:f < b.py:g"), ("exception", "KeyError < a.py:f < b.py:h")], PANE_NS)
    assert len(tree) == 2
