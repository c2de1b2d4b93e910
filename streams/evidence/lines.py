"""The lines of one service by pane: which signatures it wrote, how often, and in which panes it could have been heard.

A pane's column is replaced by a newer revision of it, so stepping panes again changes nothing; everything that is told
of a pane follows from the columns up to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.health import ServiceHealth
from streams.evidence.config import EvidenceConfig
from streams.evidence.news import Change, changes

Floats = NDArray[np.float64]
_LEAST_EXPOSURE, _MOST_EXPOSURE = 0.5, 2.0
_PLAIN = frozenset(("trace", "debug", "info", "unspecified"))


@dataclass(slots=True)
class LineHistory:
    """Panes (oldest first) with what was heard in each, and the lines of each signature by pane."""

    pane_ns: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    logs: list[int] = field(default_factory=list)
    """Log records of any severity."""
    plain_ns: int = 0
    """The last pane with a log record that was no error: the service writes ordinary logs too."""
    lines: dict[str, dict[int, int]] = field(default_factory=dict)
    """By signature: pane to lines."""

    def take(self, health: ServiceHealth, config: EvidenceConfig) -> None:
        """Write the pane's column, in place of the one it had; the oldest falls off."""
        pane_ns = health.pane_start_ns
        if len(self.pane_ns) >= config.history_panes and pane_ns < self.pane_ns[0]:
            return
        at = bisect_left(self.pane_ns, pane_ns)
        if at == len(self.pane_ns) or self.pane_ns[at] != pane_ns:
            self.pane_ns.insert(at, pane_ns)
            self.requests.insert(at, 0)
            self.logs.insert(at, 0)
        self.requests[at] = health.pane.requests
        self.logs[at] = sum(health.log_severities.values())
        if any(count for name, count in health.log_severities.items() if name in _PLAIN):
            self.plain_ns = max(self.plain_ns, pane_ns)
        for history in self.lines.values():
            history.pop(pane_ns, None)
        for one in health.signatures:
            if one.pane:
                self.lines.setdefault(one.signature, {})[pane_ns] = one.pane
        self._trim(config)

    def _trim(self, config: EvidenceConfig) -> None:
        excess = max(0, len(self.pane_ns) - config.history_panes)
        for column in (self.pane_ns, self.requests, self.logs):
            del column[:excess]
        oldest_ns = self.pane_ns[0]
        kept = {name: {ns: n for ns, n in panes.items() if ns >= oldest_ns} for name, panes in self.lines.items()}
        latest = sorted((name for name in kept if kept[name]), key=lambda name: (-max(kept[name]), name))
        self.lines = {name: kept[name] for name in sorted(latest[: config.max_signatures])}

    def judge(self, pane_ns: int, config: EvidenceConfig) -> dict[str, tuple[Change, int]]:
        """Return the changes of signatures as of a pane, with the start of the pane they began in."""
        width = bisect_right(self.pane_ns, pane_ns)
        names = list(self.lines)
        if not names or not width:
            return {}
        places = {ns: at for at, ns in enumerate(self.pane_ns[:width])}
        counts = np.zeros((len(names), width))
        for row, name in enumerate(names):
            for ns, lines in self.lines[name].items():
                if ns in places:
                    counts[row, places[ns]] = lines
        found = changes(counts, self._exposure(width), config)
        return {name: (one, self.pane_ns[one.onset]) for name, one in zip(names, found, strict=True) if one is not None}

    def _exposure(self, width: int) -> Floats:
        """Return what each pane could have shown: by its share of the usual requests, 0 where nothing was heard.

        A service that writes ordinary logs was not heard in a pane without any; of another, silence means no error.
        """
        requests = np.array(self.requests[:width], dtype=float)
        logs = np.array(self.logs[:width])
        heard = logs > 0 if self.plain_ns >= self.pane_ns[0] else (logs > 0) | (requests > 0)
        usual = requests[heard & (requests > 0)].mean() if (heard & (requests > 0)).any() else 0.0
        share = np.clip(requests / usual, _LEAST_EXPOSURE, _MOST_EXPOSURE) if usual else np.ones(width)
        return np.where(heard, share, 0.0)

    def packed(self) -> list[Any]:
        """Return the history as plain lists; panes of signatures by their place."""
        places = {ns: at for at, ns in enumerate(self.pane_ns)}
        lines = {name: [[places[ns], n] for ns, n in sorted(panes.items())] for name, panes in self.lines.items()}
        return [self.pane_ns, self.requests, self.logs, self.plain_ns, lines]

    @staticmethod
    def unpacked(body: list[Any]) -> LineHistory:
        """Read `packed` back."""
        pane_ns, requests, logs, plain_ns, lines = body
        by_pane = {name: {pane_ns[at]: n for at, n in pairs} for name, pairs in lines.items()}
        return LineHistory(pane_ns, requests, logs, plain_ns, by_pane)
