"""Line 8: the point detector on the Numenta Anomaly Benchmark, one configuration for all series and profiles.

The corpus is looked for in the folder that ``NAB_DIR`` names, else in ``../shared/nab`` beside the clone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nab import read_corpus, scaled, score_of
from rows import Row, at_least, figure, main, not_run

from streams.points import PointConfig, alarms, surprises

FOLDER = Path(os.environ.get("NAB_DIR") or Path(__file__).parents[2].parent / "shared" / "nab")
TARGET = 47.0
NAME = "8. point detector on NAB, standard profile"


def rows() -> Iterator[Row]:
    """Yield the findings."""
    archive = FOLDER / "nab.tar.xz"
    if not archive.exists():
        yield not_run(NAME, "points", TARGET, "no corpus")
        return
    corpus, config = read_corpus(archive), PointConfig()
    found = [alarms(surprises(series.values, config), config) for series in corpus.series]
    for name, profile in corpus.profiles.items():
        scores = [score_of(series, places, profile) for series, places in zip(corpus.series, found, strict=True)]
        value = scaled(scores, corpus, profile)
        if name == "standard":
            yield at_least(NAME, value, "points", TARGET)
        else:
            yield figure(f"8. point detector on NAB, profile {name}", value, "points")


if __name__ == "__main__":
    main(rows)
