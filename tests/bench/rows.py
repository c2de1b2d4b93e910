"""What a benchmark hands in, and fair ways to measure on a machine that others use too.

A file ``bench_NAME.py`` has a function ``rows()`` that yields a `Row` a finding, and ends with ``main(rows)``. `make
bench` runs all of them, each in a process of its own, and puts their rows together.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

ROWS_FILE = "BENCH_ROWS"
"""Variable that names the file to which a benchmark appends its rows, one JSON object a line."""


class Row(NamedTuple):
    """One finding. ``target`` 0 means that there is none: the figure is for information, and always met."""

    name: str
    """Begins with the number of the line of targets that it belongs to."""
    value: float | None
    """None: it could not be measured here, as the name explains; then it is not met."""
    unit: str
    target: float = 0.0
    met: bool = True


def at_least(name: str, value: float, unit: str, target: float) -> Row:
    """Return a row whose value should be as large as the target."""
    return Row(name, round(value, 3), unit, target, value >= target)


def at_most(name: str, value: float, unit: str, target: float) -> Row:
    """Return a row whose value should be no larger than the target."""
    return Row(name, round(value, 3), unit, target, value <= target)


def figure(name: str, value: float, unit: str) -> Row:
    """Return a row without a target."""
    return Row(name, round(value, 3), unit)


def not_run(name: str, unit: str, target: float, why: str) -> Row:
    """Return a row for what cannot be measured here."""
    return Row(f"{name} ({why})", None, unit, target, False)


def quick(full: T, short: T) -> T:
    """Return how much to measure: all of it, or little with ``BENCH_QUICK=1``, which shows only that it runs."""
    return short if os.environ.get("BENCH_QUICK") else full


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time that a call takes in this thread."""
    began_s = time.thread_time()
    work()
    return time.thread_time() - began_s


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, list[float]]:
    """Run each contender once a round, in turn, after one round to warm up; return CPU seconds by contender."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            spent_s = cpu_seconds(work)
            if number:
                taken[name].append(spent_s)
    return taken


def median_ratio(slower: Iterable[float], faster: Iterable[float]) -> float:
    """Return how many times faster, by the median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def main(rows: Callable[[], Iterator[Row]]) -> None:
    """Append the rows of one benchmark where `ROWS_FILE` says, else print them as they come."""
    file = os.environ.get(ROWS_FILE)
    for row in rows():
        if not file:
            print_row(row)
        else:
            with Path(file).open("a") as lines:
                lines.write(json.dumps(row._asdict()) + "\n")


def print_row(row: Row) -> None:
    """Print one line of the table."""
    number = "not run" if row.value is None else f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
    target = f"{row.target:,.6g}" if row.target else "-"
    verdict = "met" if row.target and row.met else "" if row.met else "MISSED"
    print(f"{row.name:<78}{number:>12} {row.unit:<16}{target:>10}  {verdict}", flush=True)


def print_head() -> None:
    """Print the head of the table."""
    print(f"{'name':<78}{'value':>12} {'unit':<16}{'target':>10}  met", file=sys.stdout, flush=True)
