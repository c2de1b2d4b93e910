"""Log templates of one service: Drain as a fold over shapes (He et al., "Drain: An Online Log Parsing Approach with
Fixed Depth Tree", ICWS 2017).

::

    shape ──▶ number of words ──▶ first word ──▶ the templates there ──▶ covered by one?  yes: that one
                                                        │                similar to one?  generalise it
                                                        └──────────────────── neither:    a template of its own

Three things differ from the paper, for the sake of replays. Words are masked before (`streams.signatures.masking`).
A template keeps the id of the shape it began with, so that growing more general does not rename it. And a shape that a
template covers already never changes the tree: feeding the same shapes again, in any order, changes nothing.
Exceptions are kept beside them, each a template of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from streams.contents import SignatureKey
from streams.signatures.masking import MASKS

ANY = "<*>"
"""Stands for a word that differs between the lines of a template."""

_LOG = "log"
_Leaf = tuple[str, int, str]


def signature_id(key: SignatureKey) -> str:
    """Return the id of what begins with this kind and shape: 16 hexadecimal digits, the same everywhere."""
    return blake2b("\0".join(key).encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Template:
    """One template: the id of the shape it began with, its words, and the panes (ns) it was first and last seen in."""

    signature: str
    words: list[str]
    first_seen_ns: int
    last_seen_ns: int

    @property
    def text(self) -> str:
        """The words in one line."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class TemplateConfig:
    """Drain's parameters, and the bound of the tree."""

    similarity: float = 0.5
    """Share of equal words from which two lines of equal length are of one template (the paper's st)."""
    max_first_words: int = 100
    """First words told apart among the templates of one length (the paper's maxChild)."""
    max_templates: int = 300
    """Templates of one service; of more, those not seen for longest are forgotten."""


class TemplateTree:
    """The templates of one service.

    ``is_changed`` tells that templates came, went or became more general. When they were last seen alone is no change:
    it decides who makes room, and a tree that is full changes all the time.
    """

    def __init__(self, config: TemplateConfig | None = None) -> None:
        self.config = config or TemplateConfig()
        self.is_changed = False
        self._leaves: dict[_Leaf, list[Template]] = {}
        self._found: dict[SignatureKey, Template] = {}

    def __len__(self) -> int:
        """How many templates there are."""
        return sum(map(len, self._leaves.values()))

    def learn(self, keys: Iterable[SignatureKey], pane_start_ns: int) -> int:
        """Take the shapes of one pane, sorted, so that their order does not matter; return how many were forgotten."""
        forgotten = 0
        for key in sorted(set(keys)):
            template = self.template_of(key)
            if template is None:
                template = self._generalised(key)
            if template is None:
                forgotten += self._make_room()
                template = self._planted(key, pane_start_ns)
            template.last_seen_ns = max(template.last_seen_ns, pane_start_ns)
        return forgotten

    def template_of(self, key: SignatureKey) -> Template | None:
        """Return the template that covers a shape; None before it was learned, or after it was forgotten."""
        found = self._found.get(key)
        if found is None:
            words = _words(key)
            found = next((one for one in self._leaf(key[0], words) if _covers(one.words, words)), None)
            if found is not None:
                self._found[key] = found
        return found

    def _generalised(self, key: SignatureKey) -> Template | None:
        if key[0] != _LOG:
            return None
        words = _words(key)
        best = max(self._leaf(_LOG, words), key=lambda one: _similarity(one.words, words), default=None)
        if best is None or _similarity(best.words, words) < self.config.similarity:
            return None
        best.words = [a if a == b else ANY for a, b in zip(best.words, words, strict=True)]
        self._change()
        return best

    def _planted(self, key: SignatureKey, pane_start_ns: int) -> Template:
        words = _words(key)
        template = Template(signature_id(key), words, pane_start_ns, pane_start_ns)
        self._leaves.setdefault(self._place(key[0], words), []).append(template)
        self._change()
        return template

    def _make_room(self) -> int:
        """Forget the templates not seen for longest until one more fits."""
        forgotten = 0
        while len(self) >= self.config.max_templates:
            each = [(one.last_seen_ns, one.signature, place) for place, leaf in self._leaves.items() for one in leaf]
            _, signature, place = min(each)
            self._leaves[place] = [one for one in self._leaves[place] if one.signature != signature]
            if not self._leaves[place]:
                del self._leaves[place]
            forgotten += 1
        return forgotten

    def _change(self) -> None:
        self.is_changed = True
        self._found.clear()

    def _leaf(self, kind: str, words: list[str]) -> list[Template]:
        return self._leaves.get(self._place(kind, words), [])

    def _place(self, kind: str, words: list[str]) -> _Leaf:
        """Return the leaf of a line: its length and first word; a masked first word, or one too many, is any."""
        place = (kind, len(words), words[0])
        if place in self._leaves:
            return place
        siblings = sum(length == len(words) and of == kind for of, length, _ in self._leaves)
        is_any = words[0] in MASKS or siblings >= self.config.max_first_words
        return (kind, len(words), ANY) if is_any else place

    def packed(self) -> list[Any]:
        """Return the tree as plain lists."""
        return [
            [*place, [[t.signature, t.words, t.first_seen_ns, t.last_seen_ns] for t in leaf]]
            for place, leaf in self._leaves.items()
        ]

    @staticmethod
    def unpacked(leaves: list[Any], config: TemplateConfig | None = None) -> TemplateTree:
        """Read `packed` back."""
        tree = TemplateTree(config)
        for kind, length, first, templates in leaves:
            tree._leaves[kind, length, first] = [Template(*fields) for fields in templates]
        return tree


def _words(key: SignatureKey) -> list[str]:
    kind, shape = key
    return shape.split(" ") if kind == _LOG else [shape]


def _covers(template: list[str], words: list[str]) -> bool:
    return all(a in (ANY, b) for a, b in zip(template, words, strict=True))


def _similarity(template: list[str], words: list[str]) -> float:
    """Return the share of equal words; masks and wildcards say nothing, so they are left out of both counts."""
    told = [(a, b) for a, b in zip(template, words, strict=True) if a != ANY and not (a == b and a in MASKS)]
    return sum(a == b for a, b in told) / len(told) if told else 1.0
