"""Recordings of one system played one after the other into the same state, as a deployment would have lived it.

::

    recordings ─▶ by system, by start ─▶ what arrived after all before ─▶ one LocalPipeline ─▶ distinct faults, scored

A recording by itself begins with nothing known: a fault of its first minutes is found by no method that learns what is
normal. Here only the first one does, and what lies between two is a hole in the telemetry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from schemas.settings import Settings
from streams.pipeline import LocalPipeline
from streams.scoring import Fault, Opened, Period, RecordingScore, score_recording, within_uncertainty
from topologies.recordings import Labels, RecordedMessage, Recording
from topologies.witnessing import TENANT, Witness, faults_of, play


@dataclass(frozen=True, slots=True)
class Continued:
    """What came of the recordings of one system, played as one."""

    system: str
    score: RecordingScore
    allowed: RecordingScore
    """The same within the uncertainty of the labels."""


def systems_of(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the recordings by system, each system's in the order of their start.

    Raises `SetupError` when a folder is not a recording.
    """
    found: dict[str, list[tuple[float, Path]]] = {}
    for folder in folders:
        labels = Recording(folder).labels
        found.setdefault(system_of(labels), []).append((labels.start_unix, folder))
    return {system: [folder for _, folder in sorted(parts)] for system, parts in found.items()}


def system_of(labels: Labels) -> str:
    """Return of which system, and which days of it, a recording is: as labelled, or its name up to the last hyphen."""
    return labels.system or labels.name.rpartition("-")[0] or labels.name


def play_on(system: str, folders: Sequence[Path], settings: Settings | None = None) -> Continued:
    """Play recordings of a system, in the order of their start, into one fresh pipeline and score distinct faults."""
    with ExitStack() as stack:
        parts = [stack.enter_context(Recording(folder)) for folder in folders]
        faults = distinct(fault for part in parts for fault in faults_of(part.labels))
        deploys = {deploy.at_ns: deploy for part in parts for deploy in part.deploys(TENANT)}
        witness = Witness(faults)
        pipeline = LocalPipeline(settings or Settings(), TENANT, deploys.values())
        play(pipeline, one_after_another(part.messages() for part in parts), witness.see)
        periods = [(part.labels.start_unix, part.labels.end_unix) for part in parts]
        dont_care = sorted({text for part in parts for text in part.labels.dont_care_utc})
    return Continued(system, *scores_of(faults, witness.incidents(), periods, dont_care))


def distinct(faults: Iterable[Fault]) -> list[Fault]:
    """Return each fault once: recordings that overlap tell of the same ones."""
    return list({(fault.fault_id, fault.start_s): fault for fault in faults}.values())


def one_after_another(parts: Iterable[Iterable[RecordedMessage]]) -> Iterator[RecordedMessage]:
    """Yield the messages of recordings that may overlap; of each only what arrived later than all of those before."""
    heard_ns = -1
    for messages in parts:
        until_ns = heard_ns
        for message in messages:
            if message.arrival_ns > until_ns:
                heard_ns = message.arrival_ns
                yield message


def scores_of(
    faults: Sequence[Fault], incidents: Sequence[Opened], periods: Sequence[Period], dont_care_utc: Sequence[str]
) -> tuple[RecordingScore, RecordingScore]:
    """Return the strict score, and the one within the uncertainty of the labels."""
    strict = score_recording(faults, incidents, periods, dont_care_utc)
    return strict, score_recording(within_uncertainty(faults), incidents, periods, dont_care_utc)
