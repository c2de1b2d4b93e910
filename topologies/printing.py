"""The figures of an evaluation as tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from streams.scoring import FaultScore, RecordingScore

Scores = Mapping[str, RecordingScore]
_COLUMNS = (
    ("faults", "faults"),
    ("recall", "recall"),
    ("false_alarms", "false alarms"),
    ("false_alarms_per_hour", "per fault-free hour"),
    ("median_time_to_detect_s", "median s to detect"),
    ("ac_1", "AC@1"),
    ("ac_3", "AC@3"),
    ("avg_5", "Avg@5"),
    ("fragments_per_fault", "fragments"),
)


def print_accuracies(title: str, methods: Mapping[str, Mapping[str, float | None]], console: Console) -> None:
    """Print what share of the faults is named first and among the first, by method."""
    table = Table(title, "AC@1", "AC@3", "Avg@5")
    for method, figures in methods.items():
        table.add_row(method, *map(_cell, figures.values()))
    console.print(table)


def print_scores(title: str, scores: Scores, totals: Scores, console: Console) -> None:
    """Print the figures of each recording (or system) and, below them, of all in each way of looking at them."""
    table = Table(title, *(heading for _, heading in _COLUMNS))
    for part in (scores, totals):
        for name, score in part.items():
            summary = score.summary()
            table.add_row(name, *(_cell(summary[key]) for key, _ in _COLUMNS))
        table.add_section()
    console.print(table)


def print_findings(scores: Scores, console: Console) -> None:
    """Print what became of each fault, and each false alarm."""
    for name, score in scores.items():
        for fault in score.faults:
            console.print(f"{name} {_told(fault)}", highlight=False)
        for alarm in score.false_alarms:
            console.print(f"{name} false alarm at {alarm.at_s:.0f}: {alarm.title}", highlight=False)


def _told(score: FaultScore) -> str:
    fault = score.fault
    what = f"{fault.fault_id} {fault.kind} at {fault.service}"
    if score.incident is None or score.delay_s is None:
        return f"{what}: not found"
    when = f"after {score.delay_s:.0f} s" if score.delay_s > 0 else f"{-score.delay_s:.0f} s before its label"
    named = f"named {score.rank}." if score.rank else "not named"
    return f"{what}: found {when}, {named}"


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:g}"
