"""Replay recordings through the operators and score what comes out against what was really wrong.

::

    Recording, deploys ──▶ LocalPipeline (fresh) ──▶ incidents, rankings ──▶ score_recording ──▶ table, JSON, report
         └───────────────────▶ Comparison: other methods, told the onset ──────────▶ AC@1, AC@3, Avg@5
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from schemas.settings import Settings
from streams.hypotheses.fitting import Case, choice_of, places_without
from streams.hypotheses.weights import PARTS, WEIGHTS
from streams.pipeline import LocalPipeline
from streams.rankers import Panel
from streams.scoring import RecordingScore, total
from topologies.comparing import Comparison, Places, accuracies, add_up
from topologies.continuing import Continued, play_on, scores_of, systems_of
from topologies.garbage import collect_seldom
from topologies.moving import MovedRecording
from topologies.printing import print_accuracies, print_findings, print_scores
from topologies.recordings import Recording
from topologies.report import intervals, write_report
from topologies.witnessing import TENANT, Witness, faults_of, play

WITHIN, WITHIN_TITLE = "within_uncertainty", "within uncertainty"
_PAGE_WIDTH = 140
"""Characters of a line where there is no terminal to ask."""

Key = TypeVar("Key")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one recording: our score, its windows, where other methods have the truth, and what ours knew."""

    name: str
    score: RecordingScore
    allowed: RecordingScore
    """The same within the uncertainty of the labels."""
    panel: Panel
    places: Places
    cases: tuple[Case, ...]


def replay_locally(folder: Path, settings: Settings | None = None, moved_s: float = 0.0) -> Judged:
    """Replay one recording, moved by some seconds, into a fresh pipeline and judge what comes out."""
    with MovedRecording(folder, moved_s) as recording:
        labels = recording.labels
        faults = faults_of(labels)
        witness, comparison = Witness(faults), Comparison(faults)
        pipeline = LocalPipeline(settings or Settings(), TENANT, recording.deploys(TENANT), comparison.take)
        play(pipeline, recording.messages(), witness.see, comparison.see)
    panel, incidents = comparison.panel(), witness.incidents()
    score, allowed = scores_of(faults, incidents, [(labels.start_unix, labels.end_unix)], labels.dont_care_utc)
    return Judged(
        labels.name, score, allowed, panel, comparison.places(panel), tuple(_cases(labels.name, score, witness))
    )


def _cases(name: str, score: RecordingScore, witness: Witness) -> Iterator[Case]:
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


def judge_all(folders: Sequence[Path], processes: int, console: Console, moved_s: float = 0.0) -> list[Judged]:
    """Replay recordings, each moved by some seconds, some at a time, and return what came of each.

    Raises `SetupError` when a folder is not a recording.
    """
    for folder in folders:
        Recording(folder)  # before anything starts: is it one?
    work = {folder: partial(replay_locally, folder, moved_s=moved_s) for folder in largest_first(folders)}
    judged = _all_of(work, processes, console)
    return [judged[folder] for folder in folders]


def continue_all(folders: Sequence[Path], processes: int, console: Console) -> dict[str, Continued]:
    """Play the recordings of each system one after the other, some systems at a time; return what came of each.

    Raises `SetupError` when a folder is not a recording.
    """
    systems = systems_of(folders)
    return _all_of({name: partial(play_on, name, parts) for name, parts in systems.items()}, processes, console)


def _all_of(
    work: Mapping[Key, Callable[[], Outcome]], processes: int, console: Console
) -> dict[Key, Outcome]:  # fmt: skip
    """Do what is to be done in processes of its own, so many at a time; the first failure is raised at once."""
    workers = max(1, min(processes, len(work)))
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=collect_seldom) as pool,
        console.status(f"0 of {len(work)} judged") as status,
    ):
        judging = {key: pool.submit(one) for key, one in work.items()}
        for done, one in enumerate(as_completed(judging.values()), start=1):
            one.result()  # what failed is told at once
            status.update(f"{done} of {len(work)} judged")
    return {key: one.result() for key, one in judging.items()}


def largest_first(folders: Iterable[Path]) -> list[Path]:
    """Return the folders by the size of what is in them: no process is left alone with a long one at the end."""
    return sorted(folders, key=lambda folder: -sum(file.stat().st_size for file in folder.iterdir()))


def evaluate(
    folders: Sequence[Path],
    json_path: Path | None = None,
    processes: int = 2,
    console: Console | None = None,
    report_folder: Path | None = None,
    *,
    is_continued: bool = False,
    moved_s: float = 0.0,
) -> dict[str, Any]:
    """Evaluate recordings, print the table and return (and write) the figures; with a folder, also a page with plots.

    With `is_continued`, the recordings of each system are also played one after the other into the same state. With
    `moved_s` each recording by itself is moved so many seconds. Raises `SetupError` when a folder is not a recording.
    """
    console = console or Console(width=None if sys.stdout.isatty() else _PAGE_WIDTH)
    judged = judge_all(folders, processes, console, moved_s)
    scores = {one.name: one.score for one in judged}
    whole, places = total(scores.values()), add_up(one.places for one in judged)
    methods = {method: accuracies(found) for method, found in places.items()}
    ablation = ablated(judged)
    allowed = {one.name: one.allowed for one in judged}
    report: dict[str, Any] = {
        **_figures(scores),
        WITHIN: _figures(allowed),
        "intervals": intervals(whole),
        "methods": methods,
        "ablation": ablation,
    }
    print_scores("recording", scores, {"total": whole, WITHIN_TITLE: total(allowed.values())}, console)
    print_findings(scores, console)
    if is_continued:
        report["continued"] = _continued(folders, processes, console)
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=1) + "\n")
    print_accuracies("told the onset", methods, console)
    print_accuracies("our score without", ablation, console)
    if report_folder is not None:
        panels = {one.name: one.panel for one in judged}
        page = write_report(report_folder, scores, whole, panels, places, ablation)
        console.print(f"report: {page}", highlight=False)
    return report


def _continued(folders: Sequence[Path], processes: int, console: Console) -> dict[str, Any]:
    """Play on, print the table of it and return its figures."""
    played = continue_all(folders, processes, console)
    scores = {name: one.score for name, one in played.items()}
    allowed = {name: one.allowed for name, one in played.items()}
    totals = {"total": total(scores.values()), WITHIN_TITLE: total(allowed.values())}
    print_scores("continued", scores, totals, console)
    print_findings(scores, console)
    return {**_figures(scores), WITHIN: _figures(allowed)}


def _figures(scores: Mapping[str, RecordingScore]) -> dict[str, Any]:
    return {
        "total": total(scores.values()).summary(),
        "recordings": {name: score.summary() for name, score in scores.items()},
    }


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
