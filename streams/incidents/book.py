"""What is remembered of a tenant's incidents between its panes."""

from __future__ import annotations

from typing import Any, Self

import msgpack

from streams.incidents.config import IncidentConfig
from streams.incidents.graph import LiveGraph
from streams.incidents.habits import Habits
from streams.incidents.record import OpenIncident
from streams.incidents.silence import Silence
from streams.incidents.waiting import Waiting
from streams.windows import LossLedger

_VERSION = 1


class Book:
    """The open incidents of one tenant, and what of the past decides about new ones."""

    def __init__(self, tenant: str, config: IncidentConfig | None = None) -> None:
        self.tenant = tenant
        self.config = config or IncidentConfig()
        self.graph = LiveGraph()
        self.open: list[OpenIncident] = []
        self.recovered: dict[str, int] = {}
        """Members of incidents that ended within the afterglow, with the pane that ended them."""
        self.ended: dict[str, list[int]] = {}
        """By service: the panes that ended incidents of which it was a cause, within the window of flapping."""
        self.waiting = Waiting()
        self.habits = Habits()
        """What is usual of the traces."""
        self.silence = Silence()
        self.last_pane_ns = -1
        self.losses = LossLedger()
        """What there was no room for, until it is drained."""
        self.unopened: list[str] = []
        """Who is in no incident since the last pane, because too many are open."""

    def to_bytes(self) -> bytes:
        """Return the state, bounded by the config's maxima."""
        body: dict[str, Any] = {
            "v": _VERSION,
            "pane": self.last_pane_ns,
            "edges": [[client, server, seen] for (client, server), seen in self.graph.edges.items()],
            "entries": self.graph.entries,
            "recovered": self.recovered,
            "ended": self.ended,
            "waiting": self.waiting.packed(),
            "silence": self.silence.packed(),
            "habits": self.habits.packed(),
            "open": [incident.packed() for incident in self.open],
        }
        return bytes(msgpack.packb(body))

    @classmethod
    def from_bytes(cls, tenant: str, config: IncidentConfig | None, raw: bytes | None) -> Self:
        """Read `to_bytes` back; nothing, or another version's state, is a fresh start."""
        book = cls(tenant, config)
        body = msgpack.unpackb(raw, strict_map_key=False) if raw else {}
        if body.get("v") == _VERSION:
            book.last_pane_ns = body["pane"]
            book.graph = LiveGraph({(c, s): seen for c, s, seen in body["edges"]}, dict(body["entries"]))
            book.recovered = dict(body["recovered"])
            book.ended = dict(body.get("ended", {}))
            book.silence = Silence.unpacked(body.get("silence", [0, body.get("heard_since", 0), 0]))
            book.waiting = Waiting.unpacked(body.get("waiting", []))
            book.habits = Habits.unpacked(body.get("habits", []))
            book.open = [OpenIncident.unpacked(one) for one in body["open"]]
        return book
