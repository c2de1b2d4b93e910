"""Replay recordings through the operators and score what comes out against what was really wrong.

::

    Recording, deploys ──▶ LocalPipeline (fresh) ──▶ incidents, rankings ──▶ score_recording ──▶ table, JSON, report
         └───────────────────▶ Comparison: other methods, told the onset ──────────▶ AC@1, AC@3, Avg@5
"""

from __future__ import annotations

import json
import math
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from schemas.settings import Settings
from schemas.snapshots import RankingSnapshot
from schemas.topics import LOGS, METRICS, TRACES
from streams.hypotheses import rank
from streams.hypotheses.fitting import Case, choice_of, places_without
from streams.hypotheses.weights import PARTS, WEIGHTS
from streams.pipeline import Decided, DueRanking, LocalPipeline
from streams.rankers import Panel
from streams.scoring import Fault, FaultScore, Opened, RecordingScore, score_recording, total
from topologies.comparing import Comparison, Places, accuracies, add_up
from topologies.garbage import collect_seldom
from topologies.recordings import Labels, Recording
from topologies.report import intervals, write_report

TENANT = "evaluated"
_TOPICS = {"traces": TRACES.name, "logs": LOGS.name, "metrics": METRICS.name}
_AFTER_NS = 300 * 1_000_000_000
"""Time goes on so long after the last record, so that what is open can end."""

_PAGE_WIDTH = 140
"""Characters of a line where there is no terminal to ask."""

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
    ("recall_within_uncertainty", "recall allowing for label uncertainty"),
)


class _Witness:
    """Collects what the pipeline decides about incidents. Only the rankings that count for a fault are made."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._asked_s = sorted({fault.ranked_by_s for fault in faults})
        self._opened: dict[str, tuple[float, str]] = {}
        self._due: dict[str, dict[int, tuple[float, DueRanking]]] = {}
        """By incident and by the next instant that is asked about: the last ranking until then."""
        self._snapshots: dict[tuple[str, int], RankingSnapshot] = {}

    def see(self, decided: Decided) -> None:
        """Take what a pane brought."""
        at_s = decided.at_ns / 1e9
        for event in decided.events:
            if event.kind == "opened":
                self._opened[event.incident_id] = (event.decided_at_ns / 1e9, event.title)
        place = bisect_left(self._asked_s, at_s)
        if place < len(self._asked_s):
            for due in decided.rankings:
                self._due.setdefault(due.incident.incident_id, {})[place] = (at_s, due)

    def snapshot_by(self, incident_id: str, at_s: float) -> RankingSnapshot | None:
        """Return what the last ranking of an incident that was due by an instant is made from, if there was one."""
        due = [one for one in self._due.get(incident_id, {}).values() if one[0] <= at_s]
        return self._snapshot(max(due, key=lambda one: one[0])[1]) if due else None

    def _snapshot(self, due: DueRanking) -> RankingSnapshot:
        """Return what a ranking is made from; it is worth keeping, for it goes through half an hour of windows."""
        key = (due.incident.incident_id, due.as_of_ns)
        if key not in self._snapshots:
            self._snapshots[key] = due.snapshot()
        return self._snapshots[key]

    def incidents(self) -> list[Opened]:
        """Return every incident with what it named when."""
        return [
            Opened(incident_id, at_s, title, tuple(self._made(incident_id)))
            for incident_id, (at_s, title) in self._opened.items()
        ]

    def _made(self, incident_id: str) -> Iterator[tuple[float, tuple[str, ...]]]:
        for at_s, due in self._due.get(incident_id, {}).values():
            named = rank(self._snapshot(due)).hypotheses
            yield at_s, tuple(dict.fromkeys(hypothesis.service for hypothesis in named))


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one recording: our score, its windows, where other methods have the truth, and what ours knew."""

    name: str
    score: RecordingScore
    panel: Panel
    places: Places
    cases: tuple[Case, ...]


def replay_locally(folder: Path, settings: Settings | None = None) -> Judged:
    """Replay one recording into a fresh pipeline and judge what comes out."""
    last_ns = 0
    with Recording(folder) as recording:
        labels = recording.labels
        faults = _faults(labels)
        witness, comparison = _Witness(faults), Comparison(faults)
        pipeline = LocalPipeline(settings or Settings(), TENANT, recording.deploys(TENANT), comparison.take)
        for message in recording.messages():
            last_ns = message.arrival_ns
            for decided in pipeline.feed(_TOPICS[message.signal], message.value, message.arrival_ns):
                witness.see(decided)
                comparison.see(decided)
    for decided in pipeline.advance(last_ns + _AFTER_NS):
        witness.see(decided)
        comparison.see(decided)
    score = score_recording(faults, witness.incidents(), labels.start_unix, labels.end_unix, labels.dont_care_utc)
    panel = comparison.panel()
    return Judged(labels.name, score, panel, comparison.places(panel), tuple(_cases(labels.name, score, witness)))


def _cases(name: str, score: RecordingScore, witness: _Witness) -> Iterator[Case]:
    """Yield the rankings that counted, and the last ones of false alarms where there are any."""
    for one in score.faults:
        if one.incident is not None:
            snapshot = witness.snapshot_by(one.incident.incident_id, one.fault.ranked_by_s)
            if snapshot is not None:
                yield Case(name, one.fault.fault_id, one.fault.service, snapshot)
    for alarm in score.false_alarms:
        snapshot = witness.snapshot_by(alarm.incident_id, math.inf)
        if snapshot is not None:
            yield Case(name, alarm.incident_id, None, snapshot)


def _faults(labels: Labels) -> list[Fault]:
    return [
        Fault(fault.id, fault.start_unix, fault.service, fault.fault, fault.start_uncertainty_s, fault.duration_s)
        for fault in labels.faults
    ]


def judge_all(folders: Sequence[Path], processes: int, console: Console) -> list[Judged]:
    """Replay recordings, some at a time, and return what came of each.

    Raises `SetupError` when a folder is not a recording.
    """
    for folder in folders:
        Recording(folder)  # before anything starts: is it one?
    workers = max(1, min(processes, len(folders)))
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=collect_seldom) as pool,
        console.status(f"0 of {len(folders)} recordings judged") as status,
    ):
        judging = {folder: pool.submit(replay_locally, folder) for folder in largest_first(folders)}
        for done, one in enumerate(as_completed(judging.values()), start=1):
            one.result()  # what failed is told at once
            status.update(f"{done} of {len(folders)} recordings judged")
    return [judging[folder].result() for folder in folders]


def largest_first(folders: Iterable[Path]) -> list[Path]:
    """Return the folders by the size of what is in them: no process is left alone with a long one at the end."""
    return sorted(folders, key=lambda folder: -sum(file.stat().st_size for file in folder.iterdir()))


def evaluate(
    folders: Sequence[Path],
    json_path: Path | None = None,
    processes: int = 2,
    console: Console | None = None,
    report_folder: Path | None = None,
) -> dict[str, Any]:
    """Evaluate recordings, print the table and return (and write) the figures; with a folder, also a page with plots.

    Raises `SetupError` when a folder is not a recording.
    """
    console = console or Console(width=None if sys.stdout.isatty() else _PAGE_WIDTH)
    judged = judge_all(folders, processes, console)
    scores = {one.name: one.score for one in judged}
    whole, places = total(scores.values()), add_up(one.places for one in judged)
    methods = {method: accuracies(found) for method, found in places.items()}
    ablation = ablated(judged)
    report: dict[str, Any] = {
        "total": whole.summary(),
        "recordings": {name: score.summary() for name, score in scores.items()},
        "intervals": intervals(whole),
        "methods": methods,
        "ablation": ablation,
    }
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=1) + "\n")
    _print(list(scores.items()), whole, console)
    _print_accuracies("told the onset", methods, console)
    _print_accuracies("our score without", ablation, console)
    if report_folder is not None:
        panels = {one.name: one.panel for one in judged}
        page = write_report(report_folder, scores, whole, panels, places, ablation)
        console.print(f"report: {page}", highlight=False)
    return report


def ablated(judged: Iterable[Judged]) -> dict[str, dict[str, float | None]]:
    """Return what the accuracies would be without each part of the score, by part; without nothing first.

    A fault that was not found is a miss in all of them.
    """
    places: Places = {name: [] for name in ("nothing", *PARTS)}
    for one in judged:
        known = {case.fault_id: choice_of(case, WEIGHTS) for case in one.cases}
        for score in one.score.faults:
            choice = known.get(score.fault.fault_id)
            without = {} if choice is None else places_without(choice, WEIGHTS)
            places["nothing"].append(score.rank)
            for name in PARTS:
                places[name].append(without.get(name, 0))
    return {name: accuracies(found) for name, found in places.items()}


def _print_accuracies(title: str, methods: dict[str, dict[str, float | None]], console: Console) -> None:
    table = Table(title, "AC@1", "AC@3", "Avg@5")
    for method, figures in methods.items():
        table.add_row(method, *map(_cell, figures.values()))
    console.print(table)


def _print(scored: Sequence[tuple[str, RecordingScore]], whole: RecordingScore, console: Console) -> None:
    table = Table("recording", *(title for _, title in _COLUMNS))
    for name, score in [*scored, ("total", whole)]:
        table.add_section() if name == "total" else None
        summary = score.summary()
        table.add_row(name, *(_cell(summary[key]) for key, _ in _COLUMNS))
    console.print(table)
    for name, score in scored:
        for fault in score.faults:
            console.print(f"{name} {_told(fault)}", highlight=False)
        for alarm in score.false_alarms:
            console.print(f"{name} false alarm at {alarm.at_s:.0f}: {alarm.title}", highlight=False)


def _told(score: FaultScore) -> str:
    fault = score.fault
    what = f"{fault.fault_id} {fault.kind} at {fault.service}"
    if score.incident is None or score.delay_s is None:
        early = f" (found {score.early_s:.0f} s before its uncertain start)" if score.early_s is not None else ""
        return f"{what}: not found{early}"
    named = f"named {score.rank}." if score.rank else "not named"
    return f"{what}: found after {score.delay_s:.0f} s, {named}"


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:g}"
