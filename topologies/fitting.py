"""Fit the weights of the ranking to recordings, and tell what that is worth on recordings that were left out.

::

    recordings ─▶ evaluate (rankings of known faults) ─▶ conditional logit ─┬─▶ certainty of the shipped weights
                                                                            └─▶ weights near the shipped ones
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from schemas.errors import SetupError
from streams.hypotheses.fitting import (
    Choice,
    Fit,
    Fitter,
    choice_of,
    fit_certainty,
    fit_weights,
    joined,
    left_out,
    reliability,
    vector_of,
)
from streams.hypotheses.weights import PARTS, WEIGHTS
from topologies.evaluate import judge_all

LEAST_CASES = 5
_CERTAINTY_ONLY = "shipped weights, certainty fitted"


def fit(folders: Sequence[Path], processes: int = 2) -> None:
    """Print fitted weights and certainties, in-sample and with each recording left out.

    Raises `SetupError` when a folder is not a recording, or too few faults were found to fit anything.
    """
    console = Console(width=None if sys.stdout.isatty() else 140)
    cases = [case for judged in judge_all(folders, processes, console) for case in judged.cases]
    choices = [choice_of(case, WEIGHTS) for case in joined(cases)]
    if len({choice.recording for choice in choices}) < LEAST_CASES:
        raise SetupError("too few recordings with incidents to fit weights to", f"give {LEAST_CASES} or more")
    show(choices, console)


def show(choices: Sequence[Choice], console: Console) -> None:
    """Print what the fits are worth, and the numbers."""
    shipped = vector_of(WEIGHTS)
    fitters: dict[str, Fitter] = {
        _CERTAINTY_ONLY: partial(fit_certainty, shipped),
        "weights fitted": partial(fit_weights, shipped),
    }
    table = Table("fit", "AC@1", "log loss", "log loss of recordings left out", "AC@1 of those", "Brier of those")
    found: dict[str, Fit] = {}
    apart: dict[str, list[Fit]] = {}
    shown = Fit(shipped, WEIGHTS.certainty, WEIGHTS.nobody)
    _add_row(table, "as shipped", choices, shown, [shown] * len(choices))
    for name, fitter in fitters.items():
        found[name] = whole = fitter(choices)
        apart[name] = left_out(choices, fitter)
        _add_row(table, name, choices, whole, apart[name])
    console.print(f"{len(choices)} incidents of {len({one.recording for one in choices})} recordings", highlight=False)
    console.print(table)
    numbers = Table("part", f"shipped ({WEIGHTS.version})", "fitted")
    weights = found["weights fitted"].weights
    for name, old, new in zip(PARTS, shipped.tolist(), weights.tolist(), strict=True):
        numbers.add_row(name, f"{old:g}", f"{new:.2f}")
    sure = found[_CERTAINTY_ONLY]
    numbers.add_row("certainty", f"{WEIGHTS.certainty:g}", f"{sure.certainty:.2f}")
    numbers.add_row("nobody", f"{WEIGHTS.nobody:g}", f"{sure.nobody:.2f}")
    console.print(numbers)
    _show_reliability("as shipped", choices, [shown] * len(choices), console)
    _show_reliability("certainty fitted without the recording", choices, apart[_CERTAINTY_ONLY], console)


def _show_reliability(name: str, choices: Sequence[Choice], fits: Sequence[Fit], console: Console) -> None:
    table = Table("chance of a suspect", "suspects", "said", "at fault")
    for one in reliability(choices, fits):
        table.add_row(f"{one.least:g} to {one.most:g}", str(one.suspects), f"{one.said:.3f}", f"{one.true:.3f}")
    console.print(f"confidence, {name}", highlight=False)
    console.print(table)


def _add_row(table: Table, name: str, choices: Sequence[Choice], whole: Fit, apart: Sequence[Fit]) -> None:
    """Add what a fit to all is worth, and what the fits without each recording are worth on it."""
    table.add_row(
        name, f"{_first(choices, [whole] * len(choices)):.3f}", f"{whole.loss(choices):.3f}",
        f"{sum(one.loss([choice]) for one, choice in zip(apart, choices, strict=True)) / len(choices):.3f}",
        f"{_first(choices, apart):.3f}", f"{_brier(choices, apart):.3f}",
    )  # fmt: skip


def _first(choices: Sequence[Choice], fits: Sequence[Fit]) -> float:
    """Return AC@1 over the incidents that were about a fault."""
    places = [choice.place(one.weights) for choice, one in zip(choices, fits, strict=True) if choice.truth >= 0]
    return sum(place == 1 for place in places) / max(1, len(places))


def _brier(choices: Sequence[Choice], fits: Sequence[Fit]) -> float:
    """Return the mean squared error of the chance of the first suspect (0 is best, 0.25 that of a coin)."""
    errors = []
    for choice, one in zip(choices, fits, strict=True):
        chances = one.chances(choice)[:-1]
        lead = int(chances.argmax())
        errors.append((float(chances[lead]) - (lead == choice.truth)) ** 2)
    return sum(errors) / len(errors)
