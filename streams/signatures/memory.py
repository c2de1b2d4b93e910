"""What is remembered of one service beyond its panes: the templates of its lines, and the versions it has run."""

from __future__ import annotations

from typing import Any

import msgpack

from streams.signatures.templates import TemplateConfig, TemplateTree

_VERSION = 1


class ServiceMemory:
    """The memory of one service. It outlives the service's panes, and is kept in a table by whoever owns the log."""

    def __init__(self, templates: TemplateTree | None = None) -> None:
        self.templates = templates or TemplateTree()

    def needs_keeping(self) -> bool:
        """Tell whether `encode` says something that was not `kept`."""
        return self.templates.is_changed

    def kept(self) -> None:
        """Take note that what `encode` returns is safe."""
        self.templates.is_changed = False

    def encode(self) -> bytes:
        """Return the memory as msgpack."""
        return bytes(msgpack.packb([_VERSION, self.templates.packed()]))

    @staticmethod
    def decode(raw: bytes | None, config: TemplateConfig | None = None) -> ServiceMemory:
        """Read `encode` back; nothing, or a memory of another version, is a fresh start."""
        body: list[Any] = msgpack.unpackb(raw) if raw else [0]
        if body[0] != _VERSION:
            return ServiceMemory(TemplateTree(config))
        return ServiceMemory(TemplateTree.unpacked(body[1], config))
