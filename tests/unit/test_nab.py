"""The scoring of the Numenta Anomaly Benchmark, by cases that can be worked out by hand."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.bench.nab import Corpus, Profile, Series, read_corpus, scaled, score_of, sigmoid

STANDARD = Profile(hit=1.0, miss=1.0, false_alarm=0.11)
SERIES = Series("one", np.zeros(1000), [(400, 499), (700, 799)])


def corpus_score(alarms: list[int]) -> float:
    """Return the scaled score of a corpus of one series."""
    corpus = Corpus([SERIES], {"standard": STANDARD})
    return scaled([score_of(SERIES, alarms, STANDARD)], corpus, STANDARD)


def test_silence_is_zero_and_the_first_point_of_every_window_a_hundred() -> None:
    """The two ends of the scale."""
    assert corpus_score([]) == 0.0
    assert corpus_score([400, 700]) == pytest.approx(100.0)


def test_only_the_first_alarm_in_a_window_counts() -> None:
    """And an early one more than a late one."""
    assert corpus_score([400, 410, 499, 700]) == pytest.approx(100.0)
    assert score_of(SERIES, [450], STANDARD) < score_of(SERIES, [410], STANDARD)


def test_a_false_alarm_costs_more_the_farther_it_is_behind_a_window() -> None:
    """Just behind one it is nearly free; before all windows it costs all of it."""
    silent = score_of(SERIES, [], STANDARD)
    costs = [silent - score_of(SERIES, [place], STANDARD) for place in (500, 550, 699, 300)]
    assert costs == sorted(costs)
    assert costs[0] < 0.01
    assert costs[-1] == pytest.approx(0.11)


def test_nothing_in_probation_counts() -> None:
    """15 % of the series."""
    assert score_of(SERIES, [149], STANDARD) == score_of(SERIES, [], STANDARD)
    assert score_of(SERIES, [150], STANDARD) < score_of(SERIES, [], STANDARD)


def test_the_sigmoid_is_that_of_the_paper() -> None:
    """0.9866 at the beginning of a window, 0 at its end, -1 far behind."""
    assert [round(sigmoid(at), 4) for at in (-1.0, 0.0, 3.5)] == [0.9866, 0.0, -1.0]


def test_the_corpus_is_read_from_its_archive(tmp_path: Path) -> None:
    """Windows become places in the series."""
    body = "timestamp,value\n" + "".join(f"2014-04-01 00:0{minute}:00,{minute}.5\n" for minute in range(5))
    windows = {"group/one.csv": [["2014-04-01 00:01:00.000000", "2014-04-01 00:03:00.000000"]]}
    costs = {"standard": {"CostMatrix": {"tpWeight": 1.0, "fnWeight": 2.0, "fpWeight": 0.11, "tnWeight": 1.0}}}
    files = {
        "./data/group/one.csv": body, "./labels/combined_windows.json": json.dumps(windows),
        "./config/profiles.json": json.dumps(costs),
    }  # fmt: skip
    with tarfile.open(tmp_path / "nab.tar.xz", "w:xz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    corpus = read_corpus(tmp_path / "nab.tar.xz")
    (one,) = corpus.series
    assert (one.name, one.values.tolist(), one.windows) == ("group/one.csv", [0.5, 1.5, 2.5, 3.5, 4.5], [(1, 3)])
    assert corpus.profiles == {"standard": Profile(1.0, 2.0, 0.11)}
