"""The yardstick on scenarios of our own shop: faults of every kind, found and named as well as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from topologies.evaluate import evaluate

SCENARIOS = Path(__file__).parents[1] / "data" / "scenarios"
FIGURES = {
    "faults", "recall", "false_alarms", "fault_free_hours", "false_alarms_per_hour", "median_time_to_detect_s",
    "ac_1", "ac_3", "avg_5",
}  # fmt: skip

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_report_has_every_figure_for_each_scenario_and_in_total(tmp_path: Path) -> None:
    """What ``incidentscope evaluate --json`` writes is a contract."""
    report = evaluate([SCENARIOS / "bad-deploy-among-cart"], tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert set(report["recordings"]) == {"bad-deploy-among-cart"}
    assert set(report["total"]) >= FIGURES
    assert set(report["recordings"]["bad-deploy-among-cart"]) >= FIGURES
