"""What the person at the terminal sees: a live picture, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.shop.faults import Fault
from schemas.incidents import Hypothesis
from topologies.demo.front_door import SeenIncident
from topologies.demo.verdict import tells_truth

PLAIN_STATUS_EVERY_S = 15.0
KEPT_LINES = 12
SHOWN_HYPOTHESES = 4
SHOWN_PARTS = 4


class Screen:
    """Shows phase, figures, incident and hypotheses; use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.live = self.console.is_terminal
        self._begun_s = time.monotonic()
        self._phase, self._phase_s = "", self._begun_s
        self._status = ""
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._plain_status_s = -PLAIN_STATUS_EVERY_S
        self._incident: SeenIncident | None = None
        self._fault: Fault | None = None
        self._live = Live(get_renderable=self._draw, console=self.console, refresh_per_second=2, transient=False)

    def __enter__(self) -> Self:
        if self.live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self._live.stop()

    def phase(self, text: str) -> None:
        """Begin a phase."""
        self._phase, self._phase_s, self._status = text, time.monotonic(), ""
        self._plain_status_s = -PLAIN_STATUS_EVERY_S
        self.say(f"== {text}")

    def say(self, text: str) -> None:
        """Tell that something happened."""
        elapsed_s = time.monotonic() - self._begun_s
        self._said.append(f"{elapsed_s:6.0f} s  {text}")
        if not self.live:
            self.console.print(self._said[-1], highlight=False, markup=False, soft_wrap=True)

    def status(self, text: str) -> None:
        """Show how things are now; without a terminal every quarter of a minute at most."""
        self._status = text
        due = time.monotonic() - self._plain_status_s >= PLAIN_STATUS_EVERY_S
        if not self.live and due:
            self._plain_status_s = time.monotonic()
            self.say(f"   {text}")

    def incident(self, seen: SeenIncident | None, fault: Fault | None) -> None:
        """Show an incident and its hypotheses; the truth is marked."""
        self._incident, self._fault = seen, fault

    def ranking(self, seen: SeenIncident, fault: Fault) -> None:
        """Say the ranking in plain lines, for a screen that does not show it anyway."""
        if self.live:
            return
        for one in seen.hypotheses[:SHOWN_HYPOTHESES]:
            mark = "*" if tells_truth(one, fault) else " "
            parts = ", ".join(f"{part.name} {part.contribution:.2f}" for part in one.parts[:SHOWN_PARTS])
            self.say(f"  {mark} {one.rank}. {_suspect(one)}  score {one.score:.2f}  ({parts})")

    def _draw(self) -> RenderableType:
        now_s = time.monotonic()
        head = Text.assemble((self._phase, "bold"), f"   {now_s - self._phase_s:.0f} s   ", (self._status, "cyan"))
        parts: list[RenderableType] = [head]
        if self._incident is not None:
            parts.append(_picture(self._incident, self._fault))
        parts.append(Panel("\n".join(escape(line) for line in self._said), title="what happened", title_align="left"))
        return Group(*parts)


def _suspect(hypothesis: Hypothesis) -> str:
    """Say who is suspected, with both ends of a connection."""
    ends = f" ({hypothesis.edge_client} → {hypothesis.service})" if hypothesis.edge_client else ""
    return hypothesis.title + ends


def _picture(seen: SeenIncident, fault: Fault | None) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False)
    for column, share in (("", None), ("suspect", 4), ("score", None), ("place", 2), ("made of", 5)):
        table.add_column(column, ratio=share, no_wrap=share is None)
    for one in seen.hypotheses[:SHOWN_HYPOTHESES]:
        true = fault is not None and tells_truth(one, fault)
        parts = "  ".join(f"{part.name} {part.contribution:.2f}" for part in one.parts[:SHOWN_PARTS])
        place = one.place.value.replace("_", " ") if one.place else ""
        style = "green" if true else ""
        table.add_row(f"{one.rank}", escape(_suspect(one)), f"{one.score:.2f}", place, escape(parts), style=style)
    title = f"{seen.name}  {seen.state}  {seen.severity}  {seen.title}"
    return Panel(
        table, title=escape(title), title_align="left", border_style="red" if seen.state == "open" else "green"
    )


def number_of(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 alert``, ``2 alerts``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
