"""The evaluation as a page: figures with intervals, other methods beside ours, and a plot for every fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import SetupError
from streams.rankers import Panel
from streams.scoring import FaultScore, RecordingScore
from topologies.comparing import Places, accuracies

CONFIDENCE = 0.95
AROUND_S = 300.0
"""A plot shows so much before the onset, and as much after the fault's usual end."""


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (E. B. Wilson, JASA 22, 1927); (0, 1) of nothing."""
    from scipy.stats import binomtest  # takes a second, and the processes that judge have no need of it

    if trials == 0:
        return 0.0, 1.0
    interval = binomtest(hits, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def intervals(score: RecordingScore) -> dict[str, list[float]]:
    """Return the intervals of recall, AC@1 and AC@3."""
    trials = len(score.faults)
    named = {depth: sum(0 < fault.rank <= depth for fault in score.faults) for depth in (1, 3)}
    counts = {"recall": score.hits, "ac_1": named[1], "ac_3": named[3]}
    return {key: [round(bound, 4) for bound in wilson(hits, trials)] for key, hits in counts.items()}


def write_report(
    folder: Path,
    scores: Mapping[str, RecordingScore],
    whole: RecordingScore,
    panels: Mapping[str, Panel],
    places: Places,
    ablation: Mapping[str, Mapping[str, float | None]],
) -> Path:
    """Write ``report.md`` and a plot for each fault to a folder; return the page's path.

    Raises `SetupError` when matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Evaluation",
        "",
        *_totals(whole),
        "",
        *_methods(whole, places),
        "",
        *_ablation(ablation),
        "",
        *_recordings(scores),
        "",
    ]
    for name, score in scores.items():
        for fault in score.faults:
            picture = f"{name}-{fault.fault.fault_id}.svg"
            _plot(folder / picture, fault, panels[name])
            lines += [
                f"## {name}: {fault.fault.fault_id}",
                "",
                _told(fault),
                "",
                f"![{fault.fault.fault_id}]({picture})",
                "",
            ]
    page = folder / "report.md"
    page.write_text("\n".join(lines))
    return page


def _totals(whole: RecordingScore) -> list[str]:
    bounds, summary = intervals(whole), whole.summary()
    rows = [f"| {key} | {summary[key]} | {low:.2f} to {high:.2f} |" for key, (low, high) in bounds.items()]
    plain = ("false_alarms_per_hour", "median_time_to_detect_s", "avg_5")
    rows += [f"| {key} | {summary[key]} | |" for key in plain]
    return [
        f"{len(whole.faults)} faults, one configuration.",
        "",
        "| figure | value | 95 % interval (Wilson) |",
        "|---|---|---|",
        *rows,
    ]


def _methods(whole: RecordingScore, places: Places) -> list[str]:
    ours = accuracies([fault.rank for fault in whole.faults])
    rows = {"**IncidentScope** (its own onset)": ours} | {name: accuracies(found) for name, found in places.items()}
    return [
        "The others are told the true onset; a fault that IncidentScope does not detect counts against it.",
        "",
        "| method | AC@1 | AC@3 | Avg@5 |",
        "|---|---|---|---|",
        *(f"| {name} | {row['ac_1']} | {row['ac_3']} | {row['avg_5']} |" for name, row in rows.items()),
    ]


def _ablation(ablation: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    return [
        "| our score without | AC@1 | AC@3 | Avg@5 |",
        "|---|---|---|---|",
        *(f"| {part} | {row['ac_1']} | {row['ac_3']} | {row['avg_5']} |" for part, row in ablation.items()),
    ]


def _recordings(scores: Mapping[str, RecordingScore]) -> list[str]:
    keys = (
        "faults",
        "recall",
        "false_alarms",
        "false_alarms_per_hour",
        "median_time_to_detect_s",
        "ac_1",
        "ac_3",
        "avg_5",
    )
    rows = [f"| {name} | {' | '.join(str(score.summary()[key]) for key in keys)} |" for name, score in scores.items()]
    return [f"| recording | {' | '.join(keys)} |", f"|{'---|' * (len(keys) + 1)}", *rows]


def _told(score: FaultScore) -> str:
    what = f"{score.fault.kind or 'fault'} at {score.fault.service}"
    if score.incident is None:
        return f"{what}: not found."
    return f"{what}: found after {score.delay_s:.0f} s; " + (f"named {score.rank}." if score.rank else "not named.")


def _plot(path: Path, score: FaultScore, panel: Panel) -> None:
    """Draw the service at fault around the onset: own time, gap, p95 and error rate, with onset and detection."""
    pyplot = _pyplot()
    start_s = score.fault.start_s
    panes = panel.between(int((start_s - AROUND_S) * 1e9), int((start_s + 2 * AROUND_S) * 1e9))
    seconds = panel.pane_ns[panes] / 1e9 - start_s
    figure, (times, errors) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 4.2), height_ratios=(3, 1))
    if score.fault.service in panel.services:
        row = panel.services.index(score.fault.service)
        for label, series in (("own time", panel.own_ms), ("gap", panel.gap_ms), ("p95", panel.p95_ms)):
            times.plot(seconds, np.maximum(series[row, panes], 0.01), marker=".", linewidth=1, label=label)
        errors.plot(seconds, panel.error_rate[row, panes], color="tab:red", linewidth=1)
    times.set(yscale="log", ylabel="ms (95th percentile)", title=f"{score.fault.service}: {score.fault.kind}")
    errors.set(ylabel="error rate", xlabel="seconds since the onset", ylim=(-0.02, 1.02))
    for axes in (times, errors):
        axes.axvline(0.0, color="black", linestyle="--", label="onset")
        if score.delay_s is not None:
            axes.axvline(score.delay_s, color="tab:green", label="incident opened")
    times.legend(loc="upper left", fontsize="small")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        remedy = "pip install 'incidentscope[report]'"
        raise SetupError("the report's plots need matplotlib, and it is not installed", remedy) from error
    matplotlib.use("svg")
    from matplotlib import pyplot

    return pyplot
