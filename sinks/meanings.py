"""What texts mean, as vectors whose cosine says how alike they are; a child process makes them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence

from schemas.errors import SetupError

_REMEDY = (
    "Install it again with `make distclean` and `make test`, or set INCIDENTSCOPE_TEXT_SIMILARITY=false to do without."
)


async def meanings_of(texts: Sequence[str]) -> list[list[float]]:
    """Return the vector of each text, of length 1. Raises `SetupError` when the model cannot be used here.

    Takes seconds, on a busy machine minutes. The child ends when the caller is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sinks.sentence_model",
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said, errors = await process.communicate(json.dumps(list(texts)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = errors.decode(errors="replace").strip().rsplit("\n", 1)[-1][:200]
        raise SetupError(f"the sentence model does not run: {last}", _REMEDY)
    vectors: list[list[float]] = json.loads(said)
    return vectors
