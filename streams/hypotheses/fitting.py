"""What rankings of known faults say about the weights: what each part brings, how sure a score may be, better weights.

Who caused an incident is a choice among the suspects, or of nobody among them: the conditional logit model (McFadden,
"Conditional logit analysis of qualitative choice behavior", 1974). A suspect's odds are ``exp`` of its weighted parts,
nobody's those of a constant. With the shipped weights held fast only how sharp the odds are (`certainty`) and nobody's
constant are fitted: that is what confidence rests on. With the weights free they are held near the shipped ones, as
there are fewer faults than one would like. `left_out` tells what a fit is worth on recordings it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.snapshots import RankingSnapshot, Weights
from streams.hypotheses.nodes import Nodes
from streams.hypotheses.suspects import suspects_of
from streams.hypotheses.weights import PARTS

Floats = NDArray[np.float64]
NOBODY = -1
SHRINKAGE = 1.0
"""What it costs, in nats, to double or to drop one weight."""


@dataclass(frozen=True, slots=True)
class Case:
    """One ranking of which the truth is known; the service at fault is None for a false alarm."""

    recording: str
    fault_id: str
    service: str | None
    snapshot: RankingSnapshot


@dataclass(frozen=True, slots=True)
class Choice:
    """A case as numbers: the suspects' parts (suspects by name x parts), and the row of the one at fault."""

    recording: str
    parts: Floats
    truth: int

    def place(self, weights: Floats) -> int:
        """Return the rank of the truth, 1 for the first; 0 when nothing speaks against it."""
        scores = self.parts @ weights
        if self.truth == NOBODY or scores[self.truth] <= 0:
            return 0
        return int(np.sum(scores > scores[self.truth]) + np.sum(scores[: self.truth] == scores[self.truth]) + 1)


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights by part, and how sure their scores may be."""

    weights: Floats
    certainty: float
    nobody: float

    def logits(self, choice: Choice) -> Floats:
        """Return the log odds of each suspect, and of nobody (last)."""
        scores = choice.parts @ self.weights
        blamed = np.where(scores > 0, self.certainty * scores, -np.inf)
        return np.append(blamed, self.certainty * self.nobody)

    def chances(self, choice: Choice) -> Floats:
        """Return the chance of each suspect, and of nobody (last)."""
        logits = self.logits(choice)
        odds = np.exp(logits - logits.max())
        return np.asarray(odds / odds.sum())

    def loss(self, choices: Sequence[Choice]) -> float:
        """Return the mean log loss, in nats; a truth that is no suspect is nobody."""
        return float(np.mean([-np.log(max(1e-9, self._chance_of_truth(one))) for one in choices]))

    def _chance_of_truth(self, choice: Choice) -> float:
        chances = self.chances(choice)
        return float(chances[choice.truth] or chances[NOBODY])


Fitter = Callable[[Sequence[Choice]], Fit]


def choice_of(case: Case, weights: Weights) -> Choice:
    """Return the case as numbers. The values of the parts do not depend on the weights."""
    suspects = sorted(suspects_of(case.snapshot, Nodes(case.snapshot), weights), key=lambda one: one.service)
    known = [{part.name: part.value * one.nearness for part in one.parts} for one in suspects]
    rows = [[values.get(name, 0.0) for name in PARTS] for values in known]
    names = [one.service for one in suspects]
    truth = names.index(case.service) if case.service in names else NOBODY
    return Choice(case.recording, np.array(rows, float).reshape(len(rows), len(PARTS)), truth)


def joined(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with recordings that tell of the same fault under one name, the first of theirs.

    Else what is left out would be fitted to in another recording.
    """
    name_of = {case.recording: case.recording for case in cases}
    for fault_id in dict.fromkeys(case.fault_id for case in cases):
        names = {name_of[case.recording] for case in cases if case.fault_id == fault_id}
        name_of |= {recording: min(names) for recording, name in name_of.items() if name in names}
    return [replace(case, recording=name_of[case.recording]) for case in cases]


def vector_of(weights: Weights) -> Floats:
    """Return the weights in the order of `PARTS`."""
    return np.array([weights.of[name] for name in PARTS])


def places_without(choice: Choice, weights: Weights) -> dict[str, int]:
    """Return the rank of the truth when a part is left out, by part."""
    whole = vector_of(weights)
    return {name: choice.place(np.where(np.arange(len(whole)) == at, 0.0, whole)) for at, name in enumerate(PARTS)}


def fit_certainty(weights: Floats, choices: Sequence[Choice]) -> Fit:
    """Return how sure scores of these weights may be, by maximum likelihood."""

    def cost(unknown: Floats) -> float:
        return Fit(weights, float(unknown[0]), float(unknown[1])).loss(choices)

    certainty, nobody = _smallest(cost, np.array([2.0, 0.3]), [(0.1, 20.0), (0.0, 3.0)]).tolist()
    return Fit(weights, certainty, nobody)


def fit_weights(shipped: Floats, choices: Sequence[Choice]) -> Fit:
    """Return weights near the shipped ones under which the truth is likelier; none is negative."""
    start = fit_certainty(shipped, choices)
    width = np.maximum(shipped, 0.1)

    def cost(weights: Floats) -> float:
        moved = float(np.sum(((weights - shipped) / width) ** 2))
        return replace(start, weights=weights).loss(choices) + SHRINKAGE * moved / len(choices)

    return fit_certainty(_smallest(cost, shipped, [(0.0, None)] * len(shipped)), choices)


def _smallest(cost: Callable[[Floats], float], start: Floats, bounds: Sequence[tuple[float, float | None]]) -> Floats:
    """Return where a cost is smallest within bounds."""
    from scipy.optimize import minimize  # takes a second, and who only judges fits nothing

    return np.asarray(minimize(cost, start, method="L-BFGS-B", bounds=bounds).x, dtype=np.float64)


def left_out(choices: Sequence[Choice], fitter: Fitter) -> list[Fit]:
    """Return for each choice a fit to all recordings but its own."""
    fits = {
        name: fitter([one for one in choices if one.recording != name]) for name in {one.recording for one in choices}
    }
    return [fits[one.recording] for one in choices]


CHANCES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
"""Edges of the bins of a reliability table."""


class Reliability(NamedTuple):
    """What was said of suspects with a chance in one bin, and what was true."""

    least: float
    most: float
    suspects: int
    said: float
    """Their mean chance ..."""
    true: float
    """... and the share of them that was at fault."""


def reliability(choices: Sequence[Choice], fits: Sequence[Fit]) -> list[Reliability]:
    """Return how often suspects were at fault by the chance that was given to them; bins without any are left out."""
    pairs = [pair for choice, one in zip(choices, fits, strict=True) for pair in _said(choice, one)]
    table = []
    for least, most in pairwise(CHANCES):
        inside = [pair for pair in pairs if least <= pair[0] < most or pair[0] == most == 1.0]
        if inside:
            said, true = np.mean(np.array(inside), axis=0).tolist()
            table.append(Reliability(least, most, len(inside), said, true))
    return table


def _said(choice: Choice, fit: Fit) -> Iterator[tuple[float, bool]]:
    """Yield the chance of each suspect that anything speaks against, and whether it was at fault."""
    for at, chance in enumerate(fit.chances(choice)[:-1].tolist()):
        if chance > 0:
            yield chance, at == choice.truth
