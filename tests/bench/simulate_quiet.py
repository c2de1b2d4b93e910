"""A quiet day of a shop through all operators, from OTLP to incidents: how many are opened, where none should be?

Run it with ``python -m tests.bench.simulate_quiet [HOURS [SEED ...]]``; a day takes three minutes of CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.quiet_shop import PANE_S, START_NS, QuietShop, Record, incidents_of

PANES_AN_HOUR = 360


def counted(records: Iterator[Record]) -> Iterator[Record]:
    """Pass records on, and say of each hour that it begins."""
    told = -1
    for record in records:
        hour = (record.arrival_ns - START_NS) // (PANES_AN_HOUR * PANE_S * 10**9)
        if hour > told:
            told = hour
            sys.stderr.write(f"hour {hour}\n")
        yield record


def main() -> None:
    """Print the incidents of each day."""
    hours, *seeds = [int(each) for each in sys.argv[1:]] or [24]
    for seed in seeds or [1]:
        opened = incidents_of(counted(QuietShop(seed).records(hours * PANES_AN_HOUR)))
        titles = [f"{event.at_ns // 10**9 % 86_400 / 3600:.2f} h {event.title}" for event in opened]
        sys.stdout.write(f"seed {seed}, {hours} h: {len(opened)} incidents {titles}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
