"""The scenarios of the demo shop that are kept in this repository: small, whole, labelled, and clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zstandard

from topologies.demo.scenarios import SCENARIOS
from topologies.recordings import Recording

FOLDERS = sorted(path.parent for path in Path(__file__).parents[1].joinpath("data", "scenarios").glob("*/labels.json"))
MOST_BYTES = 700_000
A_MACHINES_FOLDER = re.compile(rb"/(?:work|root|home|Users|tmp)/[a-z]")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_kept_scenario_is_what_its_name_says(folder: Path) -> None:
    """Labels tell the faults of the scenario and where each began; every announced release is there."""
    scenario = SCENARIOS[folder.name]
    with Recording(folder) as recording:
        labels = recording.labels
        assert sum(1 for _ in recording.messages()) == len(recording.index) > 1000
        deploys = recording.deploys("any")
    truths = [step for step in scenario.steps if step.fault.service]
    assert [(fault.service, fault.fault) for fault in labels.faults] == [
        (step.fault.service, step.fault.kind) for step in truths
    ]
    for fault, step in zip(labels.faults, truths, strict=True):
        assert fault.start_unix - labels.start_unix == pytest.approx(step.begin_s, abs=fault.start_uncertainty_s + 2)
    released = [release for step in scenario.steps for release in step.fault.releases]
    assert [(one.service, one.version) for one in deploys if one.kind == "deploy"] == [
        (release.service, release.version) for release in released
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_kept_scenario_is_small_and_names_no_folder_of_the_machine_that_made_it(folder: Path) -> None:
    """A repository is for everybody."""
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    for path in folder.glob("*.zst"):
        assert (
            A_MACHINES_FOLDER.search(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())) is None
        )
