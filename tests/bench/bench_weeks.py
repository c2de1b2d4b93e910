"""Three simulated weeks of a service with a daily rhythm, a Monday rush and a nightly job, with hours and without.

Run it with ``python -m tests.bench.bench_weeks``; it takes some minutes and prints incidents by week, what became of a
fault in the rush of the third week, and the bytes that are kept.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

from streams.baselines import BaselineFold, BaselineState
from streams.baselines.hour_cells import HourCells, HourConfig
from streams.incidents import IncidentFold
from tests.made_health import pane_start
from tests.quiet_weeks import MONDAY, RUSH, WEEK, QuietWeeks

FAULT = 2 * WEEK + (RUSH[0] + RUSH[1]) // 2
NEVER = 99


def simulate(least_visits: int) -> str:
    """Return what three weeks were like with cells that need so many visits."""
    config = HourConfig(least_visits=least_visits)
    fold, memory, incidents = BaselineFold(), BaselineState(hours=HourCells(config)), IncidentFold("acme")
    opened: list[int] = []
    for number, one in enumerate(QuietWeeks(fault=(FAULT, FAULT + 18)).panes(0, 3 * WEEK)):
        judged, _ = fold.advance(memory, one)
        events = incidents.step_pane(one.pane_start_ns, [judged] if judged else [], pane_start(MONDAY + number + 2))
        opened += [number for event in events if event.kind == "opened"]
    found = [pane - FAULT for pane in opened if FAULT <= pane < FAULT + 27]
    alarms = [sum(pane // WEEK == week and pane - FAULT not in found for pane in opened) for week in range(3)]
    told = f"fault at the rush found after {[panes * 10 for panes in found]} s"
    kept = f"kept: {len(memory.encode())} bytes each pane, {len(memory.hours.encode())} bytes of cells"
    way = "trailing alone" if least_visits == NEVER else "with hours"
    return f"{way}: false incidents by week {alarms}; {told}; {kept}"


def main() -> None:
    """Print both ways."""
    with ProcessPoolExecutor(2) as pool:
        sys.stdout.writelines(line + "\n" for line in pool.map(simulate, (NEVER, HourConfig().least_visits)))


if __name__ == "__main__":
    main()
