"""Workers are killed again and again, and nothing is lost, nothing is doubled, and every pane is the oracle's.

``FAULTS_SEED``, ``FAULTS_KILLS`` and ``FAULTS_ITEMS`` (of each broker) change the run; ``make faults`` is the long one.
Without them 20 kills and 100,000 items are shared by the brokers there are.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fleet import Fleet
from numbered_load import Load
from report import Report
from schedule import schedule
from trial import Trial

from schemas.settings import Settings

SEED = int(os.environ.get("FAULTS_SEED", "20261125"))
BROKERS = 2 if os.environ.get("APACHE_KAFKA_DIR") else 1
KILLS = int(os.environ.get("FAULTS_KILLS", 20 // BROKERS))
ITEMS = int(os.environ.get("FAULTS_ITEMS", 100_000 // BROKERS))
RECORDS_A_LIFE = 60


@pytest.mark.timeout(max(900, 60 * KILLS))
async def test_kills_lose_nothing_double_nothing_and_change_no_pane(
    killable: Settings, broker_name: str, fleet: Fleet, faults_report: Report, tmp_path: Path
) -> None:
    """Kills from outside, at failpoints, stops and orderly ends, while telemetry flows."""
    print(f"seed {SEED}, {KILLS} kills, {ITEMS} items")  # noqa: T201  # pytest shows it with a failure
    began_s = time.monotonic()
    trial = Trial(killable, Load.of_items(ITEMS, "acme", killable.partitions), fleet, tmp_path)
    outcome = await trial.run(schedule(SEED, KILLS, RECORDS_A_LIFE))
    account = outcome.account
    faults_report.add(
        broker=broker_name,
        kills=KILLS,
        produced=account.produced,
        stored=account.stored,
        lost=account.lost,
        doubled=account.doubled,
        pane_differences=len(outcome.pane_differences),
        seed=SEED,
        seconds=round(time.monotonic() - began_s),
    )
    assert not outcome.pane_differences, outcome.shown
    assert (account.lost, account.doubled) == (0, 0), account.examples
    assert account.stored == account.produced >= ITEMS
